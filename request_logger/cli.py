"""The console script `request-logger`: runs the subcommand, and reports errors that the user can fix in one line.

The commands are listed in `request_logger.commands.registry`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from request_logger import __version__
from request_logger.commands.registry import COMMANDS

USAGE_STATUS = 2


class CommandModule(Protocol):
    """The interface of the modules in `request_logger.commands`."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command and return the exit status."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 done, 1 failed, 2 wrong use, configuration or environment."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments, command = _parse(argv)
        return command.run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. Otherwise Python reports an error when it flushes stdout at
        # exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not isinstance(error, _user_errors()):
            raise
        for line in str(error).splitlines():
            print(f"request-logger: {line}", file=sys.stderr)
        return USAGE_STATUS


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, CommandModule]:
    parser = argparse.ArgumentParser(
        prog="request-logger",
        description="Request logger for Seldon and KServe that scores predictions inside Elasticsearch or OpenSearch.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True)
    chosen = argv[0] if argv and argv[0] in COMMANDS else ""
    module = cast(CommandModule, None)
    for name, (module_name, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        # Only the chosen command is imported, so that `serve` doesn't load what `demo` needs.
        if name == chosen:
            module = cast(CommandModule, importlib.import_module(f"request_logger.commands.{module_name}"))
            module.add_arguments(subparser)
    return parser.parse_args(argv), module


def _user_errors() -> tuple[type[Exception], ...]:
    """Return the errors that the user can fix; their messages say how."""
    from request_logger.analytics.errors import BadQueryError
    from request_logger.embedded_engine import EngineFailed, EngineUnavailable
    from request_logger.errors import CommandError
    from request_logger.metadata.schema import MetadataError
    from request_logger.scoring.registry import ScorerError
    from request_logger.settings import SettingsError
    from request_logger.store.changes import StoreUnavailableError

    return (
        CommandError,
        BadQueryError,
        SettingsError,
        ScorerError,
        MetadataError,
        EngineUnavailable,
        EngineFailed,
        StoreUnavailableError,
    )


if __name__ == "__main__":
    sys.exit(main())
