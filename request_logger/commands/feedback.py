"""`request-logger feedback`: upload truths or rewards from a file to a running logger."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tqdm import tqdm

from request_logger.commands.durations import seconds
from request_logger.common.json import literal
from request_logger.common.times import now
from request_logger.documents.event import BadEventError
from request_logger.errors import CommandError
from request_logger.server.batch_route import MOST_EVENTS
from request_logger.server.feedback_route import FIELDS, feedback_event
from request_logger.settings import Settings
from request_logger.signals import stopped_by_signals
from request_logger.upload.client import Fate, FeedbackClient
from request_logger.upload.columns import ID, KEY, KEY_COLUMN, REWARD, TIME, TRUTH, Columns
from request_logger.upload.state import Counts, Rejects, State
from request_logger.upload.tables import FORMATS, STDIN, Table, open_table
from request_logger.upload.upload import Sent, Source, Upload

_OPTIONS = MappingProxyType({ID: "id", TRUTH: "truth", REWARD: "reward", TIME: "time"})
_COMMON = MappingProxyType(
    {
        "deployment": "deployment of all predictions",
        "namespace": "their namespace",
        "predictor": "their predictor: default, canary, ...",
        "model": "their model, in a graph of several",
    }
)
_NOTES = MappingProxyType(
    {Fate.NO_PREDICTION: "without a known prediction", Fate.SHARED_KEY: "by a key that several predictions have"}
)
# Problems that --dry-run prints.
_SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", help="FILE.csv, .ndjson, .jsonl or .parquet; - is standard input, CSV or NDJSON")
    parser.add_argument(
        "--url",
        default="http://localhost:8080",
        help="the logger (default: http://localhost:8080); user and password may be in it, the token is INGEST_TOKEN",
    )
    for name, meaning in _COMMON.items():
        parser.add_argument(f"--{name}", metavar="NAME", help=meaning)
    parser.add_argument(
        "--serving-engine",
        dest="engine",
        choices=("seldon", "inferenceservice"),
        help="what serves them: seldon (default), or KServe",
    )
    parser.add_argument("--id", metavar="COLUMN", help="column with the ids of the predictions (default: request_id)")
    parser.add_argument(
        "--key", metavar="name=COLUMN", default="", help="column with the values of a join key, instead of the ids"
    )
    parser.add_argument("--truth", metavar="COLUMN", help="column with the truths (default: truth)")
    parser.add_argument("--reward", metavar="COLUMN", help="column with rewards, instead of truths or in addition")
    parser.add_argument(
        "--time",
        metavar="COLUMN",
        help="column with the times at which the truths became known (default: the start of the upload)",
    )
    parser.add_argument(
        "--text", action="store_true", help="truths in a CSV are text: 3 is the class 3, not the number"
    )
    parser.add_argument("--format", choices=FORMATS, help="default: from the file's name")
    parser.add_argument("--dry-run", action="store_true", help="check every row, send nothing, write nothing")
    parser.add_argument(
        "--state",
        metavar="FILE",
        type=Path,
        help="where the progress is saved, from which an interrupted upload continues (default: FILE.state.json; - has "
        "none)",
    )
    parser.add_argument(
        "--rejects",
        metavar="FILE",
        type=Path,
        help="where rows that are rejected or have no known prediction are listed (default: FILE.rejects.ndjson)",
    )
    parser.add_argument("--rows", metavar="N", type=_rows, default=1_000, help="rows per request (default: 1000)")
    parser.add_argument(
        "--patience",
        metavar="SECONDS",
        type=seconds,
        default=600.0,
        help="how long to retry while the logger accepts nothing (default: 600)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Upload the file. Status 0: all rows are accepted, 1: some are rejected, 2: no answer, or wrong usage."""
    columns = Columns(_fields(arguments), arguments.text)
    common = {name: value for name in (*_COMMON, "engine") if (value := getattr(arguments, name))}
    with open_table(arguments.file, arguments.format or "") as table:
        source = Source(table, columns, FIELDS)
        # Before anything is sent or written.
        source.wanted()
        if arguments.dry_run:
            return _check(source, common)
        return _upload(arguments, source, common)


def _fields(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the column of each field that the arguments name, and of those that a feedback needs."""
    fields = {name: column for name in _OPTIONS if (column := getattr(arguments, _OPTIONS[name]))}
    if arguments.key:
        name, _, column = (text.strip() for text in arguments.key.partition("="))
        if not name or not column:
            raise CommandError("--key: expected name=COLUMN, such as response.id=order")
        if ID in fields:
            raise CommandError("--id, --key: expected one of them")
        fields[KEY_COLUMN + name] = column
    elif fields and ID not in fields:
        fields[ID] = ID
    if fields and TRUTH not in fields and REWARD not in fields:
        fields[TRUTH] = TRUTH
    return fields


def _check(source: Source, common: Mapping[str, str]) -> int:
    """Check every row as the logger does, and print what would be sent."""
    settings, counts, shown = Settings(), Counts(), 0
    first: Sent | None = None
    for sent, _ in source.sent(now()):
        error = sent.error
        if not error:
            try:
                feedback_event(_without_key(sent), settings, common)
            except BadEventError as found:
                error = source.columns.as_columns(str(found))
        counts.add(Fate.REJECTED if error else Fate.ACCEPTED)
        if not error:
            first = first or sent
        elif shown < _SHOWN:
            shown += 1
            print(f"line {sent.line}: {error}", file=sys.stderr)
    if counts.rejected > shown:
        print(f"{counts.rejected - shown:,} more rows have errors", file=sys.stderr)
    if first is not None:
        print(f"line {first.line} would be sent as {literal({**common, **(first.feedback or {})}).decode()}")
    print(f"{source.table.name}: {counts.rows:,} rows: {counts.accepted:,} would be sent, {counts.rejected:,} rejected")
    return int(counts.rejected > 0)


def _without_key(sent: Sent) -> bytes:
    """Return a row with an id in place of its join key: which keys there are is a setting of the logger."""
    feedback = sent.feedback or {}
    if ID in feedback or not isinstance(feedback.get(KEY), dict) or len(feedback[KEY]) != 1:
        return sent.body
    ((_, value),) = feedback[KEY].items()
    return literal({**{name: entry for name, entry in feedback.items() if name != KEY}, ID: str(value)})


def _upload(arguments: argparse.Namespace, source: Source, common: Mapping[str, str]) -> int:
    path = Path("stdin" if arguments.file == STDIN else arguments.file)
    state_path = arguments.state or (None if arguments.file == STDIN else path.with_name(path.name + ".state.json"))
    rejects_path = arguments.rejects or path.with_name(path.name + ".rejects.ndjson")
    if len({path.absolute(), rejects_path.absolute(), (state_path or Path()).absolute()}) < 3:
        raise CommandError(f"{path}: expected other files as --state and --rejects")
    state = State(state_path)
    stop = threading.Event()
    with _Progress(source.table) as progress, stopped_by_signals():
        client = FeedbackClient(
            arguments.url,
            common,
            Settings.from_env().ingest_token,
            patience=arguments.patience,
            wait=stop.wait,
            tell=progress.say,
        )
        if state.counts.rows:
            progress.say(f"continuing after {state.counts.rows:,} rows, according to {state.path}")
        upload = Upload(
            source,
            client,
            state,
            Rejects(rejects_path, state.rejects_bytes),
            [client.url, dict(common), source.columns.fields, source.columns.text],
            most_rows=arguments.rows,
            told=progress.tell,
        )
        try:
            upload.run(stop)
        except (CommandError, KeyboardInterrupt):
            progress.close()
            _print(source.table, state, rejects_path)
            raise
    _print(source.table, state, rejects_path)
    return int(state.counts.rejected > 0)


class _Progress:
    """The progress bar on standard error, if that is a terminal. A context manager."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._bar: Any = None

    def __enter__(self) -> _Progress:
        unit = self._table.unit
        self._bar = tqdm(total=self._table.total, unit=unit, unit_scale=unit == "B", disable=None, smoothing=0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tell(self, counts: Counts) -> None:
        """Show the rows whose fate is known."""
        self._bar.set_postfix_str(_summary(counts), refresh=False)
        self._bar.update(self._table.progress() - self._bar.n)

    def say(self, line: str) -> None:
        """Print a line on standard error."""
        self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        """End the bar."""
        self._bar.close()


def _summary(counts: Counts) -> str:
    notes = [f"{counts.fates[fate]:,} {note}" for fate, note in _NOTES.items() if counts.fates[fate]]
    noted = f" (of them {', '.join(notes)})" if notes else ""
    return f"{counts.rows:,} rows: {counts.accepted:,} accepted{noted}, {counts.rejected:,} rejected"


def _print(table: Table, state: State, rejects: Path) -> None:
    counts = state.counts
    print(f"{table.name}: {_summary(counts)}")
    if counts.fates[Fate.ACCEPTED] < counts.rows:
        print(f"see {rejects}")


def _rows(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 0 < number <= MOST_EVENTS:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {MOST_EVENTS}, found {text!r}")
    return number
