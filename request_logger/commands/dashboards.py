"""`request-logger dashboards`: generate dashboards and alerts from the metrics that the scorers declare."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
from pathlib import Path

from request_logger.dashboards import files
from request_logger.errors import CommandError

FOLDER = Path("k8s/dashboards")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--dir", type=Path, default=FOLDER, metavar="DIR", help=f"output folder (default: {FOLDER})")
    parser.add_argument("--check", action="store_true", help="write nothing, list the files that are not up to date")


def run(arguments: argparse.Namespace) -> int:
    """Write or check the files. Status 0: written, or up to date; 1: --check found outdated files; 2: can't write."""
    stale = 0
    for name, text in files().items():
        path = arguments.dir / name
        try:
            current = path.read_text(encoding="utf-8") if path.exists() else None
            if current == text:
                continue
            stale += 1
            if arguments.check:
                print(f"{path}: {'missing' if current is None else 'not up to date'}")
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
                print(path)
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}") from None
    if not stale:
        print("all files are up to date")
    return int(arguments.check and stale > 0)
