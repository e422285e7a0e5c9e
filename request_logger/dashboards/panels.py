"""What the dashboards show, for whichever program shows it: plain aggregations, without scripts.

The figures of a scorer are those of its metrics that one average gives exactly; they are found by what the scorer
declares. Precision and recall by class are averages too: of `correct` over the documents of one predicted, and of one
true, class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from request_logger.rollups import PREFIX
from request_logger.scorer_registry import build, registered
from request_logger.selection import FIELDS
from scorers.base import Count, Metric, Sum

CORRECT = f"{PREFIX}correct"
TRUTH, PREDICTED = f"{PREFIX}truth_label", f"{PREFIX}predicted_label"
REWARD = "feedback.reward"
SCORER = f"{PREFIX}scorer"
UNSCORABLE = f"{PREFIX}unscorable"
EVERYTHING = "*"
CLASSES = 100
# Of one class a document: there alone is the average of `correct` by class what it is named.
_ONE_CLASS = ("binary", "multiclass", "ordinal")

NUMBER, LINES, BARS, TABLE, MATRIX = "number", "lines", "bars", "table", "matrix"


@dataclass(frozen=True, slots=True)
class Figure:
    """One value: ``count`` of documents (no field), ``avg`` or ``sum`` of a numeric field."""

    label: str
    kind: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class By:
    """A split by the values of a keyword field."""

    label: str
    field: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: ``figures`` of the documents that ``query`` (Lucene's syntax) finds, split ``by`` fields.

    ``shape``: NUMBER, LINES over time, BARS, TABLE or MATRIX (of the first by the second split). ``share`` says that
    all figures are between 0 and 1. ``of_class`` is the field that a chosen class restricts.
    """

    title: str
    shape: str
    query: str
    figures: tuple[Figure, ...]
    by: tuple[By, ...] = ()
    share: bool = False
    about: str = ""
    of_class: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


DOCUMENTS = Figure("documents", "count")
_ORIGIN = tuple(By(name, FIELDS[name]) for name in ("deployment", "predictor", "model"))


def rows() -> list[Row]:
    """Give everything that there is to show: what is about rewards, then a row a scorer."""
    found = [_rewards()]
    found += [Row(f"Scorer: {name}", tuple(_of_scorer(name))) for name in sorted(registered()) if name != "reward"]
    return found


def means(metrics: tuple[Metric, ...]) -> list[tuple[Metric, str]]:
    """Give the metrics that are the plain average of a field, with that field."""
    found = []
    for metric in metrics:
        needs = dict(metric.needs)
        match (needs.get("sum"), needs.get("n")):
            # Some, such as a root mean square, need the same sums and make something else of them.
            case (Sum(field), Count(counted)) if len(needs) == 2 and field == counted:
                if metric.compute({"sum": 6.0, "n": 4}) == 1.5 and metric.compute({"sum": 4.0, "n": 4}) == 1.0:
                    found.append((metric, f"{PREFIX}{field}"))
            case _:
                pass
    return found


def _rewards() -> Row:
    with_reward = f"_exists_:{REWARD}"
    reward = (Figure("mean reward", "avg", REWARD), Figure("sum of rewards", "sum", REWARD))
    return Row(
        "Prediction analytics",
        (
            Panel("Predictions", NUMBER, EVERYTHING, (DOCUMENTS,)),
            Panel("With a reward", NUMBER, with_reward, (DOCUMENTS,)),
            Panel("Sum of rewards", NUMBER, EVERYTHING, (reward[1],)),
            Panel("Mean reward", NUMBER, with_reward, (reward[0],)),
            Panel("Scored", NUMBER, f"_exists_:{SCORER} AND NOT _exists_:{UNSCORABLE}", (DOCUMENTS,)),
            Panel("Not scorable", NUMBER, f"_exists_:{UNSCORABLE}", (DOCUMENTS,)),
            Panel("Predictions over time", LINES, EVERYTHING, (DOCUMENTS,)),
            Panel("Rewards over time", LINES, with_reward, (reward[1], DOCUMENTS)),
            Panel("Rewards by model", TABLE, with_reward, (DOCUMENTS, *reward), _ORIGIN),
            Panel("Scorers", TABLE, f"_exists_:{SCORER}", (DOCUMENTS,), (By("scorer", SCORER),)),
            Panel("Why not scorable", TABLE, f"_exists_:{UNSCORABLE}", (DOCUMENTS,), (By("reason", UNSCORABLE),)),
        ),
    )


def _of_scorer(name: str) -> Iterator[Panel]:
    query = f"{SCORER}:{name}"
    scorer: Any = build(name, {})
    averages = means(scorer.metrics)
    figures = tuple(Figure(metric.name, "avg", field) for metric, field in averages)
    yield Panel(f"{name}: documents", NUMBER, query, (DOCUMENTS,))
    for figure, (metric, _) in zip(figures, averages, strict=True):
        yield Panel(f"{name}: {figure.label}", NUMBER, query, (figure,), share=metric.bounds == (0.0, 1.0))
    for share, title in ((True, "over time"), (False, "losses over time")):
        chosen = tuple(f for f, (metric, _) in zip(figures, averages, strict=True) if share == _is_share(metric))
        if chosen:
            yield Panel(f"{name}: {title}", LINES, query, chosen, share=share)
    yield Panel(f"{name}: by model", TABLE, query, (DOCUMENTS, *figures), _ORIGIN)
    truth, predicted = By("truth", TRUTH), By("predicted", PREDICTED)
    if name in _ONE_CLASS:
        precision, recall = Figure("precision", "avg", CORRECT), Figure("recall", "avg", CORRECT)
        yield Panel(
            f"{name}: precision by class", BARS, query, (precision,), (predicted,), share=True, of_class=PREDICTED,
            about="Of the answers of this class, the share that is right.",
        )  # fmt: skip
        yield Panel(
            f"{name}: recall by class", BARS, query, (recall,), (truth,), share=True, of_class=TRUTH,
            about="Of the documents of this true class, the share whose answer is right.",
        )  # fmt: skip
        yield Panel(f"{name}: confusion matrix", MATRIX, query, (DOCUMENTS,), (truth, predicted), of_class=TRUTH)
    elif name == "multilabel":
        for cell in ("true_positive", "false_positive", "false_negative"):
            field = f"{PREFIX}{cell}"
            title = f"{name}: {cell.replace('_', ' ')}s by label"
            yield Panel(title, BARS, query, (DOCUMENTS,), (By("label", field),), of_class=field)


def _is_share(metric: Metric) -> bool:
    return metric.bounds == (0.0, 1.0)
