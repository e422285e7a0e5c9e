"""Defines the dashboards' panels independently of the program that shows them: plain aggregations, without scripts.

A scorer's figures are those of its metrics that are one plain average, found from its declaration. Precision and
recall by class are averages too: of `correct` over the documents of one predicted, or one true, class. A metric that is
arithmetic over a few such figures, such as F1 or R2, is a formula, for programs that can calculate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from request_logger.analytics.rollups import PREFIX
from request_logger.common.mapped_fields import FAILED_STATUS, ORIGIN_KEYWORDS, STATUS
from request_logger.documents.audit import AUDIT
from request_logger.scoring.registry import build, registered
from scorers.base import Count, Metric, Sum

CORRECT = f"{PREFIX}correct"
TRUTH, PREDICTED = f"{PREFIX}truth_label", f"{PREFIX}predicted_label"
REWARD = "feedback.reward"
SCORER = f"{PREFIX}scorer"
UNSCORABLE = f"{PREFIX}unscorable"
EVALUATED, EVALUATION_LABELS = f"{PREFIX}evaluated", f"{PREFIX}evaluation_labels"
FAILED = f"response.{STATUS}:[{FAILED_STATUS} TO *]"
# With something to exclude from: within brackets, an exclusion alone matches nothing.
NOT_FAILED = f"*:* AND NOT {FAILED}"
# Of the evaluation that is chosen.
VALUE = f"{PREFIX}evaluations.$evaluation.value"
# The most classes that a panel lists.
CLASSES = 100
# Scorers with one class per document: only there the average of `correct` by class is precision or recall.
_ONE_CLASS = ("binary", "multiclass", "ordinal")

NUMBER, LINES, BARS, TABLE, MATRIX = "number", "lines", "bars", "table", "matrix"


@dataclass(frozen=True, slots=True)
class Figure:
    """One value: the ``count`` of documents (no field), or the ``avg`` or ``sum`` of a numeric field.

    ``where`` is a further condition (Lucene syntax) for this figure's documents.
    """

    label: str
    kind: str
    field: str = ""
    where: str = ""


@dataclass(frozen=True, slots=True)
class Formula:
    """A calculated metric: ``$A``, ``$B``... are the panel's figures; operators are + - * / ** and brackets."""

    label: str
    expression: str


@dataclass(frozen=True, slots=True)
class By:
    """A split by the values of a keyword field."""

    label: str
    field: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: ``figures`` of the documents that match ``query`` (Lucene syntax), split ``by`` fields.

    ``shape``: NUMBER, LINES over time, BARS, TABLE or MATRIX (first split by second). ``share``: all figures are
    between 0 and 1. ``of_class``: the field that the chosen class restricts. With a ``formula`` its value is shown
    instead of the figures; ``each_class`` repeats the panel per class, which ``$class`` stands for. In a figure's
    field, ``$evaluation`` is the chosen name of an evaluation.
    """

    title: str
    shape: str
    query: str
    figures: tuple[Figure, ...]
    by: tuple[By, ...] = ()
    share: bool = False
    about: str = ""
    of_class: str = ""
    formula: Formula | None = None
    each_class: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is of fixed fields and calculates nothing, so that every program can show it."""
        return self.formula is None and not any("$" in figure.field for figure in self.figures)


@dataclass(frozen=True, slots=True)
class PanelRow:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


DOCUMENTS = Figure("documents", "count")
_CELLS = ("true_positive", "false_positive", "false_negative", "true_negative")
_BINARY_CELLS = tuple(Figure(cell, "count", where=f"_exists_:{PREFIX}{cell}") for cell in _CELLS)
_CLASS_CELLS = tuple(Figure(cell, "count", where=f"{PREFIX}{cell}:$class") for cell in _CELLS[:3])
_SEVERAL_CLASSES = ("multiclass", "multilabel", "ordinal")
_F1 = "2 * $A / (2 * $A + $B + $C)"
_REGRESSION = tuple(
    Figure(field, "avg", f"{PREFIX}{field}") for field in ("squared_error", "truth_squared", "truth_centered")
)
# R2 is defined only for documents with a single number as truth.
_ONE_TRUTH = tuple(replace(figure, where=f"_exists_:{PREFIX}truth_squared") for figure in _REGRESSION)
_FORMULAS: Mapping[str, tuple[tuple[tuple[Figure, ...], Formula], ...]] = {
    # For the positive class, from the counts of TP, FP, FN and TN.
    "binary": (
        (_BINARY_CELLS[:3], Formula("f1", _F1)),
        (_BINARY_CELLS, Formula("f1_macro", "$A / (2 * $A + $B + $C) + $D / (2 * $D + $B + $C)")),
        (
            _BINARY_CELLS,
            Formula("kappa", "2 * ($A * $D - $B * $C) / (($A + $B) * ($B + $D) + ($A + $C) * ($C + $D))"),
        ),
        (
            _BINARY_CELLS,
            Formula("mcc", "($A * $D - $B * $C) / ((($A + $B) * ($A + $C) * ($D + $B) * ($D + $C)) ** 0.5)"),
        ),
    ),
    "regression": (
        (_REGRESSION[:1], Formula("rmse", "$A ** 0.5")),
        (_ONE_TRUTH, Formula("r2", "1 - $A / ($B - ($C ** 2))")),
    ),
}
_ORIGIN = tuple(By(name, ORIGIN_KEYWORDS[name]) for name in ("deployment", "predictor", "model"))


def rows() -> list[PanelRow]:
    """Return all rows: predictions and rewards, evaluations, then one row per scorer."""
    found = [_rewards(), _audit(), _evaluations()]
    found += [PanelRow(f"Scorer: {name}", tuple(_of_scorer(name))) for name in sorted(registered()) if name != "reward"]
    return found


def means(metrics: tuple[Metric, ...]) -> list[tuple[Metric, str]]:
    """Return the metrics that are the plain average of a field, each with that field."""
    found = []
    for metric in metrics:
        needs = dict(metric.needs)
        match (needs.get("sum"), needs.get("n")):
            # Others, such as a root mean square, compute something else from the same sums.
            case (Sum(field), Count(counted)) if len(needs) == 2 and field == counted:
                if metric.compute({"sum": 6.0, "n": 4}) == 1.5 and metric.compute({"sum": 4.0, "n": 4}) == 1.0:
                    found.append((metric, f"{PREFIX}{field}"))
            case _:
                pass
    return found


def _rewards() -> PanelRow:
    with_reward = f"_exists_:{REWARD} AND NOT {FAILED}"
    unscorable = f"_exists_:{UNSCORABLE} AND NOT {FAILED}"
    reward = (Figure("mean reward", "avg", REWARD), Figure("sum of rewards", "sum", REWARD))
    return PanelRow(
        "Prediction analytics",
        (
            Panel("Predictions", NUMBER, NOT_FAILED, (DOCUMENTS,)),
            Panel("With a reward", NUMBER, with_reward, (DOCUMENTS,)),
            Panel("Sum of rewards", NUMBER, NOT_FAILED, (reward[1],)),
            Panel("Mean reward", NUMBER, with_reward, (reward[0],)),
            Panel("Scored", NUMBER, f"_exists_:{SCORER} AND NOT _exists_:{UNSCORABLE}", (DOCUMENTS,)),
            Panel("Not scorable", NUMBER, unscorable, (DOCUMENTS,)),
            Panel("Failed requests", NUMBER, FAILED, (DOCUMENTS,), about="HTTP status over 399; in no other panel."),
            Panel("Predictions over time", LINES, NOT_FAILED, (DOCUMENTS,)),
            Panel("Rewards over time", LINES, with_reward, (reward[1], DOCUMENTS)),
            Panel("Rewards by model", TABLE, with_reward, (DOCUMENTS, *reward), _ORIGIN),
            Panel("Scorers", TABLE, f"_exists_:{SCORER}", (DOCUMENTS,), (By("scorer", SCORER),)),
            Panel("Why not scorable", TABLE, unscorable, (DOCUMENTS,), (By("reason", UNSCORABLE),)),
        ),
    )


def _audit() -> PanelRow:
    query = f"{AUDIT}:true AND NOT {FAILED}"
    known = f"{query} AND {PREFIX}basis:truth AND NOT _exists_:{UNSCORABLE}"
    accuracy = (Figure("audited accuracy", "avg", CORRECT),)
    about = "Of predictions that a hash chose, whatever their outcome: see docs/selection.md."
    return PanelRow(
        "Audit",
        (
            Panel("Audited predictions", NUMBER, query, (DOCUMENTS,), about=about),
            Panel("Audited predictions with a truth", NUMBER, known, (DOCUMENTS,)),
            Panel("Audited accuracy", NUMBER, known, accuracy, share=True, about=about),
            Panel("Audited accuracy over time", LINES, known, accuracy, share=True, about=about),
            Panel("Audit by model", TABLE, known, (DOCUMENTS, *accuracy), _ORIGIN),
        ),
    )


def _evaluations() -> PanelRow:
    query = f"_exists_:{EVALUATED} AND NOT {FAILED}"
    labelled = f"_exists_:{EVALUATION_LABELS} AND NOT {FAILED}"
    about = "A prediction counts once per name; without a majority of its raters it has no label."
    mean = (Figure("mean value", "avg", VALUE),)
    chosen = f"_exists_:{VALUE} AND NOT {FAILED}"
    return PanelRow(
        "Evaluations",
        (
            Panel("Evaluated", NUMBER, query, (DOCUMENTS,)),
            Panel("Mean value of $evaluation", NUMBER, chosen, mean),
            Panel("Evaluated over time", LINES, query, (DOCUMENTS,)),
            Panel("Mean value of $evaluation over time", LINES, chosen, mean),
            Panel("Evaluations by name", BARS, query, (DOCUMENTS,), (By("name", EVALUATED),)),
            Panel("Evaluations by label", BARS, labelled, (DOCUMENTS,), (By("label", EVALUATION_LABELS),), about=about),
            Panel("Evaluations by model", TABLE, labelled, (DOCUMENTS,), (*_ORIGIN, By("label", EVALUATION_LABELS))),
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
            about="Of the predictions of this class, the share that is correct.",
        )  # fmt: skip
        yield Panel(
            f"{name}: recall by class", BARS, query, (recall,), (truth,), share=True, of_class=TRUTH,
            about="Of the documents of this true class, the share that is predicted correctly.",
        )  # fmt: skip
        yield Panel(f"{name}: confusion matrix", MATRIX, query, (DOCUMENTS,), (truth, predicted), of_class=TRUTH)
    elif name == "multilabel":
        for cell in ("true_positive", "false_positive", "false_negative"):
            field = f"{PREFIX}{cell}"
            title = f"{name}: {cell.replace('_', ' ')}s by label"
            yield Panel(title, BARS, query, (DOCUMENTS,), (By("label", field),), of_class=field)
    yield from _calculated(name, query, {metric.name: metric for metric in scorer.metrics})


def _calculated(name: str, query: str, metrics: Mapping[str, Metric]) -> Iterator[Panel]:
    """Yield a number and a curve per formula, then F1 per class, which takes as many panels as there are classes."""
    for shape, title in ((NUMBER, ""), (LINES, " over time")):
        for figures, formula in _FORMULAS.get(name, ()):
            yield Panel(
                f"{name}: {formula.label}{title}", shape, query, figures, formula=formula,
                share=_is_share(metrics[formula.label]),
            )  # fmt: skip
    if name in _SEVERAL_CLASSES:
        yield Panel(
            f"{name}: F1 of $class", NUMBER, query, _CLASS_CELLS, formula=Formula("f1", _F1), share=True,
            each_class=True, about="2 TP / (2 TP + FP + FN) of this class.",
        )  # fmt: skip


def _is_share(metric: Metric) -> bool:
    return metric.bounds == (0.0, 1.0)
