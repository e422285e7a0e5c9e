"""`request-logger setup`: the index templates, installed ahead of the first event."""
# ruff: noqa: T201  # printing is what a command is for

from __future__ import annotations

import argparse
import json

from request_logger.commands.errors import CommandError
from request_logger.commands.quiet import quiet_engine
from request_logger.settings import Settings
from request_logger.store.client import SearchEngine
from request_logger.store.templates import is_current, wanted


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whether to do it."""
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent to the engine, change nothing")


def run(arguments: argparse.Namespace) -> int:
    """Install what is missing or older. Status 0: all is there, 2: the engine or the settings are at fault."""
    settings = Settings.from_env()
    engine = quiet_engine(settings)
    for name, template in wanted(settings).items():
        path = f"/_index_template/{name}"
        status, answer = engine.request("GET", path)
        if status not in (200, 404) or not isinstance(answer, dict):
            raise _refused(engine, "GET", path, status, answer)
        if status == 200 and is_current(answer, template):
            print(f"index template {name}: is there")
            continue
        what = "newer version" if status == 200 else "missing"
        if arguments.dry_run:
            print(f"index template {name}: {what}, would send\nPUT {path}\n{json.dumps(template, indent=2)}")
            continue
        status, answer = engine.request("PUT", path, template)
        if status != 200:
            raise _refused(engine, "PUT", path, status, answer)
        print(f"index template {name}: {what}, installed")
    return 0


def _refused(engine: SearchEngine, method: str, path: str, status: int, answer: object) -> CommandError:
    reason = str(answer)
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        reason = str(answer["error"].get("reason"))
    return CommandError(f"{engine.urls[0]} answered {status} to {method} {path}: {reason[:400]}")
