"""Figures of stored predictions as pandas data frames, for notebooks: deployments, report, compare, frame.

::

    from request_logger import client

    client.deployments()
    client.report("demo/iris", start="now-7d")
    client.report("demo/iris", "by", by="country")
    client.compare("demo/iris", "demo/iris-new")
    client.frame("demo/iris", where=["country=DE"])

The figures are those of the commands of the same names. Targets, conditions and times are written as there. ``engine``
is the URL of the search engine; without it ELASTICSEARCH_HOST and the other variables name it. The functions need the
extra ``[export]`` (pandas and pyarrow).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from request_logger.analytics.compare import Comparison
from request_logger.analytics.compare import compare as compare_groups
from request_logger.analytics.contrasts import Form
from request_logger.analytics.deployments import ListOptions, list_deployments
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.report import Options, make_report
from request_logger.jobs.export import frame as stored_pairs
from request_logger.jobs.export import pandas_and_arrow
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine

if TYPE_CHECKING:
    import pandas

__all__ = ["TABLES", "compare", "deployments", "frame", "report"]

_Row = dict[str, Any]
_COUNTS = ("target", "predictions", "with_feedback", "scored")
_FIGURES = ("value", "low", "high", "baseline", "n")


def deployments(
    target: str = "",
    *,
    start: str | None = None,
    end: str | None = None,
    where: Sequence[str] = (),
    engine: str = "",
) -> pandas.DataFrame:
    """Return the deployments, those with the most predictions first: counts, scorers, last seen, headline figure.

    The headline is the scorer's first metric, in the columns ``metric``, ``value``, ``low`` and ``high`` (95 %
    interval); where there is none, ``reason`` says why. ``DataFrame.attrs`` has the ``notes``. Raises as `report` does.
    """
    settings = _settings(engine)
    found = list_deployments(SearchEngine(settings), settings, ListOptions(target, start, end, tuple(where)))
    rows = [
        {
            **{name: each[name] for name in _COUNTS},
            "scorer": ", ".join(each["scorers"]),
            "last_seen": each.get("last_seen"),
            "metric": each["headline"].get("name"),
            **{name: each["headline"].get(name) for name in ("value", "low", "high", "reason")},
        }
        for each in found["deployments"]
    ]
    return _frame(rows, notes=found["notes"])


def report(
    target: str,
    table: str = "metrics",
    *,
    by: str = "",
    start: str | None = None,
    end: str | None = None,
    where: Sequence[str] = (),
    window: str = "",
    by_date: str = "prediction",
    mature: bool = False,
    engine: str = "",
) -> pandas.DataFrame:
    """Return one table of a deployment's report.

    ``table``: ``metrics`` (a row per metric: value, 95 % interval from low to high, best constant as baseline, n),
    ``classes`` (a row per class), ``by`` (a row per metric and value of the field ``by``), ``over_time`` (a row per
    window) or ``confusion`` (a row per true class, a column per predicted one). Every row says its scorer. Columns
    without any value are left out. ``DataFrame.attrs`` has the report's ``notes`` and ``coverage``.

    The other arguments are the options of `Options`. Raises BadQueryError for a wrong one, StoreUnavailableError.
    """
    rows_of = TABLES.get(table)
    if rows_of is None:
        raise BadQueryError(f"table: expected one of {', '.join(TABLES)}, found {table!r}")
    if table == "by" and not by:
        raise BadQueryError("by: expected the name of a field for the table by")
    settings = _settings(engine)
    options = Options(target, start, end, by, window, by_date, mature=mature, where=tuple(where))
    found = make_report(SearchEngine(settings), settings, options)
    rows = [{"scorer": task["scorer"], **row} for task in found["tasks"] for row in rows_of(task)]
    return _frame(rows, notes=found["notes"], coverage=found["coverage"])


def compare(
    a: str,
    b: str,
    *,
    target: str = "",
    metric: str = "",
    by: str = "",
    start: str | None = None,
    end: str | None = None,
    where: Sequence[str] = (),
    mature: bool = False,
    fixed_n: bool = False,
    engine: str = "",
) -> pandas.DataFrame:
    """Return the metrics of two groups: a row per metric with both values, the difference, its interval and p-value.

    ``a`` and ``b`` are two deployments as ``namespace/deployment``, or two values of the field ``by`` within
    ``target`` (default: models, predictors, deployments, versions). ``fixed_n``: the tests hold for one look, instead
    of one every day. ``DataFrame.attrs`` has the ``verdict`` and the ``warnings``. Raises as `report` does.
    """
    settings = _settings(engine)
    form = Form.FIXED if fixed_n else Form.SEQUENTIAL
    asked = Comparison(
        a, b, target=target, metric=metric, by=by, start=start, end=end, where=tuple(where), mature=mature, form=form
    )
    found = compare_groups(SearchEngine(settings), settings, asked)
    rows = [
        {
            "metric": row["name"],
            "a": row["a"]["value"],
            "b": row["b"]["value"],
            **{name: row[name] for name in ("difference", "low", "high", "p_value", "test", "reason") if name in row},
            **({"test": f"as {row['same_question']}"} if "same_question" in row else {}),
        }
        for row in found["metrics"]
    ]
    return _frame(rows, verdict=found["verdict"], warnings=found.get("warnings", []))


def frame(
    target: str = "",
    *,
    columns: Sequence[str] = (),
    everything: bool = False,
    start: str = "",
    end: str = "",
    where: Sequence[str] = (),
    engine: str = "",
) -> pandas.DataFrame:
    """Return the stored pairs of predictions and truths: a row per prediction with feedback, the oldest first.

    ``columns`` are globs of column names; by default those that have a value in a row. ``everything`` adds the
    predictions without feedback. Raises ExportError for an unknown column, and as `report` does.
    """
    pairs = stored_pairs(
        columns=columns,
        everything=everything,
        settings=_settings(engine),
        target=target,
        where=where,
        since=start,
        until=end,
    )
    return pairs if columns else pairs.dropna(axis="columns", how="all")


def _metrics(task: Mapping[str, Any]) -> Iterator[_Row]:
    for each in task.get("metrics", []):
        yield _figures(each)


def _classes(task: Mapping[str, Any]) -> Iterator[_Row]:
    for label, found in task.get("per_class", {}).items():
        row = {"class": label, **{name: value for name, value in found.items() if name != "intervals"}}
        for name, (low, high) in found.get("intervals", {}).items():
            row |= {f"{name}_low": low, f"{name}_high": high}
        yield row


def _by(task: Mapping[str, Any]) -> Iterator[_Row]:
    found = task.get("by", {})
    for part in found.get("parts", []):
        for each in part["metrics"]:
            yield {found["name"]: part["value"], **_figures(each)}


def _over_time(task: Mapping[str, Any]) -> Iterator[_Row]:
    found = task.get("over_time", {})
    for point in found.get("points", []):
        yield {"metric": found["metric"], **point}


def _confusion(task: Mapping[str, Any]) -> Iterator[_Row]:
    matrix: Mapping[str, Mapping[str, int]] = task.get("confusion_matrix", {})
    labels = sorted({*matrix, *(label for row in matrix.values() for label in row)})
    for truth in labels:
        yield {"truth": truth, **{label: matrix.get(truth, {}).get(label, 0) for label in labels}}


TABLES: Mapping[str, Callable[[Mapping[str, Any]], Iterator[_Row]]] = {
    "metrics": _metrics,
    "classes": _classes,
    "by": _by,
    "over_time": _over_time,
    "confusion": _confusion,
}


def _figures(found: Mapping[str, Any]) -> _Row:
    return {"metric": found["name"], **{name: found.get(name) for name in _FIGURES}}


def _frame(rows: Sequence[_Row], **attributes: Any) -> pandas.DataFrame:
    """Return rows as a data frame without the columns that have no value; ``attributes`` become its attrs."""
    made: pandas.DataFrame = pandas_and_arrow()[0].DataFrame.from_records(rows).dropna(axis="columns", how="all")
    made.attrs.update(attributes)
    return made


def _settings(engine: str) -> Settings:
    """Return the settings of the environment, with another search engine where its URL is given."""
    if not engine:
        return Settings.from_env()
    others = {name: value for name, value in os.environ.items() if name != "ELASTICSEARCH_CLOUD_ID"}
    return Settings.from_env({**others, "ELASTICSEARCH_HOST": engine})
