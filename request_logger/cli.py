"""The console script `request-logger`: finds the subcommand, and turns what the user can mend into one line.

To add a command, write a module in `request_logger.commands` and add a line to COMMANDS.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from request_logger import __version__

# name -> (module, what it does, in a few words)
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "run the server; it is configured by environment variables"),
    "consume": ("consume", "take events from Kafka, as a member of a consumer group"),
    "demo": ("demo", "start an engine and the server, replay real traffic, show the figures"),
    "engine": ("engine", "run a search engine in the foreground, with no installation"),
    "check": ("check", "list what the mappings of existing indices refuse or distort, and what to do"),
    "dead-letters": ("dead_letters", "list, export or store again what the engine refused in every form"),
    "report": ("report", "say how good a deployment's predictions were: a table, JSON or a page with plots"),
    "compare": ("compare", "tell which of two predictors or models is better, and how sure that is"),
    "rescore": ("rescore", "apply a changed scorer or threshold to what is stored"),
    "export": ("export", "write stored pairs to Parquet or CSV"),
    "check-quality": ("check_quality", "check metrics against limits; the exit status says whether they hold"),
    "dashboards": ("dashboards", "write dashboards and alerts for Grafana, Kibana and Prometheus"),
    "setup": ("setup", "install the index templates ahead of the first event, and say what they are"),
    "prune": ("prune", "remove documents older than a given time"),
    "scorers": ("scorers", "list the scorers, their options and metrics"),
    "try": ("try_pair", "print what a truth and a response would score"),
    "size": ("size", "calculate the machines that a rate of events needs"),
    "settings": ("settings", "print docs/settings.md: every environment variable"),
    "reference": ("reference", "print docs/commands.md, docs/fields.md or docs/writer.md"),
}
USAGE_STATUS = 2


class CommandModule(Protocol):
    """What a module of `request_logger.commands` has."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Say what the command takes."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it. Returns the exit status."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 failed, 2 wrong use, configuration or environment."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        arguments, command = _parse(argv)
        return command.run(arguments)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has enough. Without this, Python complains when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not isinstance(error, _mendable_errors()):
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
        # Only the chosen one is imported: `serve` must not wait for what `demo` needs.
        if name == chosen:
            module = cast(CommandModule, importlib.import_module(f"request_logger.commands.{module_name}"))
            module.add_arguments(subparser)
    return parser.parse_args(argv), module


def _mendable_errors() -> tuple[type[Exception], ...]:
    """Errors that the user can mend, each with a message that says how."""
    from request_logger.answers.errors import BadQuestionError
    from request_logger.commands.errors import CommandError
    from request_logger.engine import EngineFailed, EngineUnavailable
    from request_logger.metadata.schema import MetadataError
    from request_logger.scorer_registry import ScorerError
    from request_logger.settings import SettingsError
    from request_logger.store.change import StoreUnavailableError

    return (
        CommandError,
        BadQuestionError,
        SettingsError,
        ScorerError,
        MetadataError,
        EngineUnavailable,
        EngineFailed,
        StoreUnavailableError,
    )


if __name__ == "__main__":
    sys.exit(main())
