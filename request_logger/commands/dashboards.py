"""`request-logger dashboards`: the dashboards and alerts, made of what the scorers declare."""
# ruff: noqa: T201  # printing is what a command is for

from __future__ import annotations

import argparse
from pathlib import Path

from request_logger.dashboards import files
from request_logger.errors import CommandError

FOLDER = Path("k8s/dashboards")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to."""
    parser.add_argument("--dir", type=Path, default=FOLDER, metavar="DIR", help=f"the folder (default: {FOLDER})")
    parser.add_argument("--check", action="store_true", help="write nothing: say which files are not up to date")


def run(arguments: argparse.Namespace) -> int:
    """Do it. Status 0: written, or up to date; 1: --check found files that are not; 2: they can't be written."""
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
