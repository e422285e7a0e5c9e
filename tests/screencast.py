"""Records `request-logger demo` and writes it as an animated SVG without script: ``python -m tests.screencast``."""

from __future__ import annotations

import argparse
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# A terminal of the usual width; the demo's tables fit into it.
COLUMNS, LINES = 120, 30
# Pixels: the width of a monospaced character of 13 pixels, the distance of lines, the margin.
_CHARACTER, _LINE, _MARGIN = 7.8, 18, 16
# Seconds: waits are cut to the first, so that nobody waits for a search engine to boot; the second is for reading.
_LONGEST_WAIT, _READING, _END = 1.2, 0.12, 8.0
_LAST = "press Ctrl-C to stop"
# For a machine that downloads everything first.
_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the terminal: seconds from the start of the picture, and its text."""

    at: float
    text: str


def record(command: Sequence[str]) -> Iterator[tuple[float, str]]:
    """Run a command and yield each line with the seconds since the start; stop it after its last line."""
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield time.monotonic() - started, line.rstrip("\n")
                if line.startswith(_LAST) or time.monotonic() - started > _SECONDS:
                    break
        finally:
            process.terminate()


def shortened(lines: Sequence[tuple[float, str]]) -> list[Line]:
    """Return the lines with waits cut to the longest, time to read each, and long lines wrapped."""
    found: list[Line] = []
    now = before = 0.0
    for at, text in lines:
        now += min(max(at - before, _READING), _LONGEST_WAIT)
        before = at
        indent = " " * (len(text) - len(text.lstrip()) + 2)
        parts = textwrap.wrap(text, COLUMNS, subsequent_indent=indent, drop_whitespace=False) or [""]
        found += [Line(now, part) for part in parts]
    return found


def picture(lines: Sequence[Line], title: str) -> str:
    """Return the recording as SVG, which shows its last lines where animations are switched off."""
    length = lines[-1].at + _END
    width, height = round(2 * _MARGIN + COLUMNS * _CHARACTER), 2 * _MARGIN + LINES * _LINE
    # By the time of the last line of each moment, how many lines are written.
    written = {line.at: number for number, line in enumerate(lines, start=1)}
    scroll = _steps({at: -max(number - LINES, 0) for at, number in written.items()}, length)
    curtain = _steps({at: min(number, LINES) for at, number in written.items()}, length)
    final = max(len(lines) - LINES, 0) * _LINE
    rows = "".join(
        f'<text x="{_MARGIN}" y="{_MARGIN + (number + 1) * _LINE - 5}"{_class(line.text)}>{escape(line.text)}</text>\n'
        for number, line in enumerate(lines)
        if line.text.strip()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{escape(title)}">\n<title>{escape(title)}</title>\n<style>\n'
        "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;white-space:pre;fill:#d0d7de}\n"
        ".command{fill:#7ee787;font-weight:bold}\n"
        f".all{{transform:translateY({-final}px);animation:scroll {length:.2f}s step-end infinite}}\n"
        f".rest{{transform:translateY({height}px);animation:rest {length:.2f}s step-end infinite}}\n"
        f"@keyframes scroll{{{scroll}}}\n@keyframes rest{{{curtain}}}\n"
        "@media (prefers-reduced-motion:reduce){.all,.rest{animation:none}}\n"
        f'</style>\n<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>\n'
        f'<svg x="0" y="{_MARGIN}" width="{width}" height="{LINES * _LINE}" overflow="hidden">'
        f'<g transform="translate(0 {-_MARGIN})"><g class="all">\n{rows}</g></g>'
        f'<rect class="rest" width="{width}" height="{height}" fill="#0d1117"/></svg>\n</svg>\n'
    )


def _steps(rows: Mapping[float, int], length: float) -> str:
    """Return keyframes that move something to a number of rows at each time."""
    frames = {0.0: 0, **rows}
    return "".join(
        f"{100 * at / length:.3f}%{{transform:translateY({row * _LINE}px)}}" for at, row in sorted(frames.items())
    )


def _class(text: str) -> str:
    return ' class="command"' if text.startswith("$ ") else ""


def main() -> None:
    """Record the demo and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "demo.svg")
    output: Path = parser.parse_args().output
    command = [sys.executable, "-u", "-m", "request_logger.cli", "demo"]
    lines = [(0.0, "$ make demo"), *record(command)]
    found = shortened(lines)
    if not lines[-1][1].startswith(_LAST):
        sys.exit(f"the demo failed: {lines[-1][1]}")
    output.write_text(picture(found, "make demo, recorded"), encoding="utf-8")
    print(f"{output} written: {len(found)} lines, {found[-1].at:.0f} s")


if __name__ == "__main__":
    main()
