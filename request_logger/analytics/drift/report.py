"""Builds the drift report of a deployment as one JSON object, which the command prints and the page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from request_logger.analytics.buckets import label_of
from request_logger.analytics.conditions import where
from request_logger.analytics.deployments import several
from request_logger.analytics.drift.baselines import Baseline, Kind, without_empty
from request_logger.analytics.drift.candidates import MOST_FIELDS, Candidate, candidates
from request_logger.analytics.drift.counting import choose_cells, count_cells
from request_logger.analytics.drift.judgement import MOST_TESTED, FieldDrift, Level, judge
from request_logger.analytics.drift.stored_baselines import StoredBaselines
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope, find_scope
from request_logger.analytics.selection import PREDICTION, any_of, exists
from request_logger.analytics.surface import Control, Surface
from request_logger.analytics.windows import Windows, windows_of
from request_logger.common.times import utc_text
from request_logger.settings import Settings
from request_logger.store.excluded_indices import left_out_note
from request_logger.store.ports import EngineReader

Report = dict[str, Any]
# A body whose values have no field, because the mapping refuses them: they are in no distribution.
_NOT_INDEXED = exists("request.unindexed_reason")
_IN_BATCHES = any_of(*({"range": {f"{side}.rows": {"gt": 1}}} for side in ("request", "response")))
_ORDER = (Level.MAJOR, Level.MODERATE, Level.UNKNOWN, Level.NONE)
OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class DriftOptions:
    """The options of a drift report; see `windows_of` for ``against``, `find_scope` for the target and the time span.

    ``fields``: names of the fields to look at; empty: all. ``reset``: choose the cells of a fixed reference again.
    ``where``: conditions on the documents of both sides, see `conditions.where`. ``surface``: where the notes are read.
    """

    target: str = ""
    against: str = "reference"
    start: str | None = None
    end: str | None = None
    fields: tuple[str, ...] = ()
    reset: bool = False
    where: tuple[str, ...] = ()
    surface: Surface = Surface.TERMINAL


def drift_report(
    engine: EngineReader, settings: Settings, options: DriftOptions, *, only_own: bool = False, stores: bool = True
) -> Report:
    """Return the report, or of several deployments their list. ``only_own`` restricts it to the logger's own indices.

    Raises as `drift_over` does.
    """
    scope = find_scope(engine, settings, options.target, options.start, options.end, only_own=only_own)
    return drift_over(engine, settings, scope, options, stores=stores)


def drift_over(
    engine: EngineReader, settings: Settings, scope: Scope, options: DriftOptions, *, stores: bool
) -> Report:
    """Return the report, or a list of deployments, on the documents of a scope that fulfil the options' conditions.

    Without ``stores`` no baseline is stored. A baseline that can't be stored is a note, since this look doesn't depend
    on it. Raises BadQueryError for an invalid option, StoreUnavailableError.
    """
    runner = QueryRunner(engine)
    scope = where(runner, scope, options.where)
    windows = windows_of(scope, options.against)
    stored = StoredBaselines(engine, " ".join((windows.current.indices, options.target, *options.where)), windows.fixed)
    look = _Look(runner, options, windows, stored if windows.fixed else None, stores=stores)

    def made() -> Report:
        listed = several(runner, windows.current, settings, options.target, "Drift is", options.surface)
        return look.report() if listed is None else look.asked() | {"level": Level.UNKNOWN.value} | listed

    report = runner.settled(made, scope.indices)
    left_out = runner.left_out.as_json()
    if left_out:
        report["notes"].insert(0, left_out_note(left_out))
        report["left_out"] = left_out
    return report


class _Look:
    """One look at the documents of two windows."""

    def __init__(
        self,
        runner: QueryRunner,
        options: DriftOptions,
        windows: Windows,
        stored: StoredBaselines | None,
        *,
        stores: bool,
    ) -> None:
        self._runner = runner
        self._options = options
        self._windows = windows
        self._current = windows.current.having(PREDICTION)
        self._reference = windows.reference.having(PREDICTION)
        self._stored = stored
        self._stores = stores
        self._notes: list[str] = []

    def report(self) -> Report:
        """Return the report. Raises BadQueryError, StoreUnavailableError."""
        self._notes = []
        found = candidates(self._runner, self._current, self._reference, self._options.fields)
        now = utc_text(datetime.now(UTC), "seconds")
        baselines = self._baselines(found.fields, now)
        counts = count_cells(self._runner, self._current, [each.cells for each in baselines.values()])
        judged = judge(found.fields, baselines, counts)
        judged.sort(key=_order)
        documents = self._runner.count(self._reference), self._runner.count(self._current)
        self._note(judged, documents, found.left_out, is_stored=bool(baselines))
        levels = [each.level for each in judged]
        return {
            "made_at": now,
            **self.asked(),
            "documents": documents[1],
            "reference": {
                "indices": self._windows.reference.indices,
                **_span(self._windows.reference),
                "documents": max((each.counts.documents for each in baselines.values()), default=documents[0]),
                **({"counted_at": min(each.made_at for each in baselines.values())} if baselines else {}),
            },
            "level": next((level for level in _ORDER if level in levels and level is not Level.UNKNOWN), Level.UNKNOWN),
            "levels": {level.value: levels.count(level) for level in _ORDER},
            "with_problems": sum(bool(each.problems) for each in judged),
            "not_indexed": self._not_indexed(documents),
            "fields": [_as_json(each) for each in judged],
            "notes": self._notes,
        }

    def asked(self) -> Report:
        """Return what was asked for."""
        return {
            "target": self._options.target,
            **({"where": list(self._options.where)} if self._options.where else {}),
            "indices": self._windows.current.indices,
            **_span(self._windows.current),
            "against": self._windows.name,
        }

    def _baselines(self, fields: Sequence[Candidate], now: str) -> dict[str, Baseline]:
        """Return the baselines of the fields: the stored ones, and new ones of fields that have none."""
        stored: dict[str, Baseline] = {}
        if self._stored is not None and not self._options.reset:
            stored = self._stored.read(each.path for each in fields)
        cells = choose_cells(self._runner, self._reference, [each for each in fields if each.path not in stored])
        counts = count_cells(self._runner, self._reference, list(cells.values()))
        made = {path: Baseline(*without_empty(each, counts[path]), now) for path, each in cells.items()}
        if self._stored is None or not self._stores or not made:
            return stored | made
        write = self._stored.replace if self._options.reset else self._stored.add
        problem = write(made)
        if problem:
            self._notes.append(
                f"The cells of the reference could not be stored ({problem}): another look may choose slightly others."
            )
            return stored | made
        # Another look may have stored its cells first.
        return stored | made | self._stored.read(made)

    def _not_indexed(self, documents: tuple[int, int]) -> dict[str, float]:
        """Return the share of the requests on both sides whose values, or some of them, have no field."""
        sides = {"reference": (self._reference, documents[0]), "current": (self._current, documents[1])}
        return {side: self._runner.count(scope, _NOT_INDEXED) / n for side, (scope, n) in sides.items() if n}

    def _note(
        self, judged: Sequence[FieldDrift], documents: tuple[int, int], left_out: int, *, is_stored: bool
    ) -> None:
        if not documents[0] and is_stored:
            self._notes.append("The reference has no predictions any more: its stored counts are used.")
        elif not documents[0]:
            self._notes.append("There are no predictions in the reference.")
        if not documents[1]:
            self._notes.append("There are no predictions in the time span.")
        if left_out:
            naming = Control.FIELDS.on(self._options.surface)
            self._notes.append(f"{left_out:,} more fields than {MOST_FIELDS} are not looked at: {naming} names others.")
        if any(each.distances and each.distances.p_value is None for each in judged):
            self._notes.append(
                f"No p-values over {MOST_TESTED:,} documents: any difference is significant, so the distance decides."
            )
        rows = self._runner.count(self._current, _IN_BATCHES)
        if rows:
            self._notes.append(
                f"{rows:,} of the documents are rows of batches, which may be alike: noise may be above its floor."
            )


def _order(each: FieldDrift) -> tuple[int, bool, float]:
    """Return what fields are sorted by: the most drift first, then problems with the data."""
    return _ORDER.index(each.level), not each.problems, -(each.distances.psi if each.distances else 0.0)


def _span(scope: Scope) -> dict[str, str]:
    return {name: text for name, text in (("from", scope.start), ("to", scope.end)) if text}


def _as_json(found: FieldDrift) -> Report:
    made: Report = {"name": found.name, "role": found.role.value, "level": found.level.value}
    if found.reason:
        made["reason"] = found.reason
    baseline, current, known = found.baseline, found.current, found.distances
    if baseline is not None and current is not None:
        made |= {
            "kind": baseline.cells.kind.value,
            "n": {"reference": baseline.counts.present, "current": current.present},
        }
    if known is not None:
        made |= {
            "psi": known.psi,
            "threshold": known.threshold,
            "noise_floor": known.floor,
            "jensen_shannon": known.jensen_shannon,
            "l_infinity": known.l_infinity,
        }
        optional = {"ks": known.kolmogorov_smirnov, "p_value": known.p_value, "adjusted_p_value": known.adjusted}
        made |= {name: value for name, value in optional.items() if value is not None}
        assert baseline is not None and current is not None
        made["cells"] = list(_cells(baseline, current.cells))
    if found.problems:
        made["problems"] = [
            {
                "check": each.check.value,
                "reference": each.reference,
                "current": each.current,
                "limit": each.limit,
                **({"detail": each.detail} if each.detail else {}),
            }
            for each in found.problems
        ]
    return made


def _cells(baseline: Baseline, current: Sequence[int]) -> Sequence[Mapping[str, Any]]:
    """Return the shares of both sides in each cell."""
    totals = baseline.counts.values, sum(current)
    return [
        {"values": label, "reference": a / totals[0], "current": b / totals[1]}
        for label, a, b in zip(_labels(baseline), baseline.counts.cells, current, strict=True)
    ]


def _labels(baseline: Baseline) -> list[str]:
    cells = baseline.cells
    if cells.kind is Kind.CATEGORY:
        return [*cells.values, OTHERS]
    labels = []
    for low, high in pairwise((None, *cells.edges, None)):
        text = " to under ".join(label_of(edge) for edge in (low, high) if edge is not None)
        labels.append(
            f"under {text}" if low is None and text else f"{text} and over" if high is None and text else text or "all"
        )
    return labels
