"""Colour is for terminals only, and for nobody who does not want it."""

from __future__ import annotations

import sys

import pytest

from request_logger.commands.styles import heading, note, print_lines, warning

LINES = [heading("iris"), "plain", note("few"), warning("two scorers")]
PLAIN = "iris\nplain\nNote: few\nWARNING: two scorers\n"


@pytest.mark.parametrize(
    ("is_terminal", "env", "is_styled"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {"NO_COLOR": ""}, True),
        (False, {}, False),
    ],
)
def test_when_lines_are_styled(
    is_terminal: bool,
    env: dict[str, str],
    is_styled: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a terminal, unless NO_COLOR is set or the terminal can't."""
    for name, value in {"NO_COLOR": "", "TERM": "xterm", **env}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    print_lines(LINES)
    out = capsys.readouterr().out
    assert (out != PLAIN) is is_styled
    for code in ("\x1b[1m", "\x1b[33m", "\x1b[1;31m", "\x1b[0m"):
        assert (code in out) is is_styled
        out = out.replace(code, "")
    assert out == PLAIN


def test_codes_of_others_are_removed(capsys: pytest.CaptureFixture[str]) -> None:
    """A sender chooses the name of a deployment, not the terminal's colour."""
    print_lines(["a\x1b[31mb\x07", "c\nd"])
    assert capsys.readouterr().out == "a [31mb \nc\nd\n"


def test_lines_are_text() -> None:
    """Whoever joins them gets no codes."""
    assert "\n".join(LINES) + "\n" == PLAIN
