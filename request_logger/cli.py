"""The console script `request-logger`: runs the subcommand, and reports errors that the user can fix in one line.

The commands are listed in `request_logger.commands.registry`.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Protocol, cast

from request_logger import __version__
from request_logger.commands.engine_option import add_engine
from request_logger.commands.examples import EXAMPLES
from request_logger.commands.registry import COMMANDS, ENGINE_COMMANDS, GROUPS

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
    _print_anything()
    name = argv[0] if argv else ""
    try:
        arguments, command = _parse(argv)
        if name in ENGINE_COMMANDS:
            _use_engine(arguments.engine)
            _check_settings()
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
        for line in (str(error) + _where(name, error)).splitlines():
            print(f"request-logger: {line}", file=sys.stderr)
        return USAGE_STATUS


def _print_anything() -> None:
    """Let stdout escape characters that its encoding lacks, as stderr does, instead of ending the command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, CommandModule]:
    parser = argparse.ArgumentParser(
        prog="request-logger",
        usage="%(prog)s [-h] [--version] COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Request logger for Seldon and KServe that scores predictions inside Elasticsearch or OpenSearch.",
        epilog="\n".join(_by_job()),
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    subparsers = parser.add_subparsers(
        prog="request-logger", dest="command", metavar="COMMAND", required=True, help="one of the commands below"
    )
    chosen = argv[0] if argv and argv[0] in COMMANDS else ""
    if argv and not chosen and not argv[0].startswith("-"):
        near = get_close_matches(argv[0], COMMANDS, n=1)
        parser.error(f"no command {argv[0]!r}{f': did you mean {near[0]}?' if near else '; --help lists them'}")
    module = cast(CommandModule, None)
    for name, (module_name, summary) in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog="\n".join(["examples:", *(f"  {example}" for example in EXAMPLES[name])]),
        )
        # Only the chosen command is imported, so that `serve` doesn't load what `demo` needs.
        if name == chosen:
            module = cast(CommandModule, importlib.import_module(f"request_logger.commands.{module_name}"))
            module.add_arguments(subparser)
            if name in ENGINE_COMMANDS:
                add_engine(subparser)
    return parser.parse_args(argv), module


def _by_job() -> Iterator[str]:
    """Yield the list of the commands for --help."""
    width = max(map(len, COMMANDS))
    for group, names in GROUPS.items():
        yield f"{group}:"
        for name in names:
            yield f"  {name.ljust(width)}  {COMMANDS[name][1]}"
        yield ""
    yield "`request-logger COMMAND --help` describes one, with examples."


def _use_engine(url: str | None) -> None:
    """Let --engine replace the variables that name the search engine, and warn of misspelled ones."""
    from request_logger.settings_names import misspelled

    if url:
        os.environ["ELASTICSEARCH_HOST"] = url
        os.environ.pop("ELASTICSEARCH_CLOUD_ID", None)
    for line in misspelled(os.environ):
        print(f"request-logger: warning: {line}", file=sys.stderr)


def _check_settings() -> None:
    """Raise SettingsError with one line per invalid setting, those of the search engine included."""
    from request_logger.settings import Settings, SettingsError, problems_of
    from request_logger.store.client.client import SearchEngine

    settings, problems = Settings.read()
    problems += problems_of(lambda: SearchEngine(settings, warn=False))
    if problems:
        raise SettingsError("\n".join(problems))


def _where(command: str, error: Exception) -> str:
    """Return which search engine a command used, for the error that it doesn't answer."""
    from request_logger.store.changes import StoreUnavailableError

    if command not in ENGINE_COMMANDS or not isinstance(error, StoreUnavailableError):
        return ""
    chosen = "ELASTICSEARCH_CLOUD_ID" if os.environ.get("ELASTICSEARCH_CLOUD_ID") else "ELASTICSEARCH_HOST"
    return f" (set by --engine or {chosen})"


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
