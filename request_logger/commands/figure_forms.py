"""The forms of a command's figures: text, --json, and --textfile for Prometheus' node exporter."""
# ruff: noqa: T201  # it prints for the commands

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from request_logger.commands.styles import print_lines
from request_logger.errors import CommandError


def add_textfile(form: argparse._ActionsContainer) -> None:
    """Add the option."""
    form.add_argument(
        "--textfile",
        metavar="FILE",
        help="write gauges for the textfile collector of Prometheus' node exporter; -: print them",
    )


def show(
    arguments: argparse.Namespace,
    found: Mapping[str, Any],
    gauges: Callable[[Any], str],
    lines: Callable[[Any], Iterator[str]],
) -> None:
    """Print the figures as the arguments ask, or write them as gauges. Raises CommandError."""
    if arguments.textfile:
        _write(arguments.textfile, gauges(found))
    else:
        print_lines([json.dumps(found, indent=2)] if arguments.json else lines(found))


def _write(name: str, text: str) -> None:
    """Write the file in one step, since the collector may read it at any time. Raises CommandError."""
    if name == "-":
        sys.stdout.write(text)
        return
    path = Path(name)
    try:
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            file.write(text)
        temporary = Path(file.name)
        # The collector runs as another user.
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise CommandError(f"--textfile: {path} can't be written: {error.strerror}") from None
    print(f"{path} written")
