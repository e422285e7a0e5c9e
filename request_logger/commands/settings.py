"""`request-logger settings`: docs/settings.md is its output."""
# ruff: noqa: T201  # printing is what a command is for

from __future__ import annotations

import argparse
from dataclasses import fields

from request_logger.settings import Settings

_PAGE = """\
# Settings

Made by `request-logger settings` (`make docs` writes it anew). An empty variable counts as not set. Everything that is
wrong is said at once, one line a variable, and the program ends with status 2.

{settings}

## Read by libraries and by the embedded engine

{others}"""

# Variables that belong to a library or to the embedded engine, and are read where they are used.
OTHERS = {
    "PROMETHEUS_MULTIPROC_DIR": (
        "a temporary folder",
        "where the workers keep their counters; old ones are removed at start, nothing else is",
    ),
    "REQUEST_LOGGER_CACHE_DIR": ("`~/.cache/request-logger`", "where the embedded engine's jars are kept"),
    "XDG_CACHE_HOME": ("`~/.cache`", "parent of that folder where REQUEST_LOGGER_CACHE_DIR is not set"),
    "JAVA_HOME": ("", "the embedded engine's Java; without it the PATH and the usual folders are searched"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing."""


def run(arguments: argparse.Namespace) -> int:
    """Print the page."""
    print(page())
    return 0


def page() -> str:
    """Give docs/settings.md."""
    own = [(spec.name.upper(), _shown(spec.default), spec.metadata["meaning"]) for spec in fields(Settings)]
    others = [(name, default, meaning) for name, (default, meaning) in OTHERS.items()]
    return _PAGE.format(settings=_table(own), others=_table(others))


def _table(rows: list[tuple[str, str, str]]) -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {default} | {meaning.replace('|', chr(92) + '|')} |" for name, default, meaning in rows]
    return "\n".join(lines)


def _shown(default: object) -> str:
    if default == "":
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
