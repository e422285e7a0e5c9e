"""`request-logger rescore`: score stored pairs again with a changed scorer or threshold."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from request_logger.commands.engine_access import quiet_engine
from request_logger.commands.job_writer import job_writer
from request_logger.commands.near import tell_near
from request_logger.commands.selection_args import add_selection, deployments_of, selection_of
from request_logger.common.json import dumps, loads
from request_logger.common.times import utc_text
from request_logger.errors import CommandError
from request_logger.jobs.deployment_evidence import gathered, judged, replaced
from request_logger.jobs.rescore import Counts, Rescore, Scorers, table
from request_logger.scoring.known_evidence import FixedEvidence
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.scoring.stored_evidence import INDEX
from request_logger.settings import Settings
from request_logger.signals import stopped_by_signals
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import ScanError
from request_logger.store.excluded_indices import left_out_note

_SAVE_SECONDS = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_selection(parser)
    parser.add_argument("--scorer", help="as in SCORER, such as binary:threshold=0.3 (default: SCORER)")
    parser.add_argument("--scorers-config", metavar="FILE", help="as in SCORERS_CONFIG (default: SCORERS_CONFIG)")
    parser.add_argument("--dry-run", action="store_true", help="change nothing, show the metrics before and after")
    parser.add_argument(
        "--state", metavar="FILE", type=Path, help="save the progress; an interrupted run continues from there"
    )
    parser.add_argument(
        "--slices", type=_positive, default=2, metavar="N", help="number of reading threads (default: 2)"
    )
    parser.add_argument("--page", type=_positive, default=200, metavar="N", help="documents per read (default: 200)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> int:
    """Rescore. Status 0: done, 1: the engine rejected some documents, 2: it does not respond, or wrong usage."""
    settings = Settings.from_env()
    scorer = settings.scorer if arguments.scorer is None else arguments.scorer
    config = settings.scorers_config if arguments.scorers_config is None else arguments.scorers_config
    is_auto = Chooser(scorer, config or None).is_auto
    engine = quiet_engine(settings)
    selection = selection_of(arguments, engine, settings)
    state = None
    if arguments.state and not arguments.dry_run:
        rules = Path(config).read_text(encoding="utf-8") if config else ""
        state = State(arguments.state, [asdict(selection), settings.index_name, engine.urls, scorer, rules])
    with stopped_by_signals(), nullcontext() if arguments.dry_run else job_writer(engine, settings) as writer:
        evidence = _evidence(engine, settings, arguments, scorer, config) if is_auto else None
        scorers = Scorers(Chooser(scorer, config or None, evidence))
        progress = _Progress(state)
        settle = settler(scorers, settings.fold_key)
        rescore = Rescore(engine, settings, selection, scorers, settle, writer=writer, on_progress=progress.tell)
        if state is not None and state.reached is not None:
            rescore.start_at(state.reached)
            print(f"continuing from {_shown(state.reached)}, according to {state.path}")
        try:
            progress.start(rescore.count())
            rescore.run(slices=arguments.slices, page=arguments.page)
        except (ScanError, StoreUnavailableError) as error:
            advice = "" if arguments.dry_run or isinstance(error, ScanError) else "; run the command again to continue"
            raise CommandError(f"{error}{advice}") from None
        finally:
            progress.close()
    if state is not None:
        state.forget()
    _print(rescore, arguments)
    if not rescore.counts.read:
        tell_near(engine, settings, arguments.target)
    return int(rescore.counts.refused > 0)


def _evidence(
    engine: SearchEngine, settings: Settings, arguments: argparse.Namespace, scorer: str, config: str
) -> FixedEvidence:
    """Return the evidence of all documents of the selected deployments; store it for the loggers, but in a dry run."""
    whole = deployments_of(arguments, engine, settings)
    try:
        with tqdm(unit=" documents", desc="auto: reading the deployments", disable=None) as bar:
            found = gathered(engine, settings, whole, scorer, config or None, page=arguments.page, on_page=bar.update)
        if arguments.dry_run:
            return FixedEvidence(judged(found, {}))
        stored, problem = replaced(engine, found)
    except (ScanError, StoreUnavailableError) as error:
        raise CommandError(str(error)) from None
    if problem:
        print(f"the loggers can't be told how auto reads the deployments: {INDEX}: {problem}", file=sys.stderr)
    return FixedEvidence(stored)


class State:
    """Progress of a run in a file, for one selection and scorer. Raises CommandError for the file of another run."""

    def __init__(self, path: Path, about: Any) -> None:
        self.path = path
        self._about = hashlib.sha256(dumps(about, sort_keys=True)).hexdigest()
        self.reached: int | None = None
        try:
            kept = loads(path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise CommandError(f"{path}: can't be read as the state of a rescore: {error}") from None
        if not isinstance(kept, dict) or not isinstance(kept.get("reached"), int):
            raise CommandError(f"{path}: expected the state of a rescore, an object with the time reached")
        if kept.get("about") != self._about:
            raise CommandError(
                f"{path}: is the state of a rescore of other documents or scorers: remove it to start over"
            )
        self.reached = kept["reached"]

    def save(self, reached: int) -> None:
        """Save the time up to which everything is done (ms since 1970)."""
        self.reached = reached
        beside = self.path.with_name(self.path.name + ".new")
        beside.write_bytes(dumps({"about": self._about, "reached": reached, "is": _shown(reached)}))
        beside.replace(self.path)

    def forget(self) -> None:
        """Remove the file, since everything is done."""
        self.path.unlink(missing_ok=True)


class _Progress:
    """The progress bar on standard error, if that is a terminal, and the state file."""

    def __init__(self, state: State | None) -> None:
        self._state = state
        self._bar: Any = None
        self._saved = time.monotonic()

    def start(self, total: int) -> None:
        self._bar = tqdm(total=total, unit=" documents", disable=None, smoothing=0.1)

    def tell(self, counts: Counts, reached: int | None) -> None:
        self._bar.update(counts.read - self._bar.n)
        self._bar.set_postfix(changed=counts.changed, refresh=False)
        if self._state is not None and reached is not None and time.monotonic() - self._saved >= _SAVE_SECONDS:
            self._state.save(reached)
            self._saved = time.monotonic()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _print(rescore: Rescore, arguments: argparse.Namespace) -> None:
    rows = list(table(rescore.before, rescore.after))
    if arguments.json:
        changes = [{"scorer": s, "metric": m, "before": b, "after": a} for s, m, b, a in rows]
        about = {"dry_run": arguments.dry_run, "metrics": changes, "left_out": rescore.left_out}
        print(dumps({**asdict(rescore.counts), **about}).decode())
        return
    for line in _lines(rows):
        print(line)
    counts = rescore.counts
    changed = "would change" if arguments.dry_run else "changed"
    refused = f", {counts.refused:,} refused by the engine" if counts.refused else ""
    print(f"{counts.read:,} documents: {counts.changed:,} {changed}, {counts.same:,} as they are{refused}")
    for reason in rescore.reasons:
        print(f"  refused: {reason[:300]}")
    if rescore.left_out:
        print(left_out_note(rescore.left_out), file=sys.stderr)


def _lines(rows: list[tuple[str, str, float | None, float | None]]) -> Iterator[str]:
    if not rows:
        return
    yield f"{'scorer':12}  {'metric':26}  {'before':>14}  {'after':>14}"
    for scorer, metric, before, after in rows:
        sign = "" if before == after else "  *"
        yield f"{scorer:12}  {metric:26}  {_number(before):>14}  {_number(after):>14}{sign}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.8g}"


def _shown(reached: int) -> str:
    try:
        return utc_text(datetime.fromtimestamp(reached / 1000, UTC), "milliseconds")
    except (OverflowError, ValueError, OSError):
        return str(reached)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 0 < number <= 10_000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 10000, found {text!r}")
    return number
