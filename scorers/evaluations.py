"""What evaluations of one prediction are stored as, and the figures over many predictions that roll up from it.

An evaluation is a named judgement by one rater: a value, a label, or both. All fields are sums or keywords of one
document, so that plain aggregations give means, shares, and the agreement of raters (Krippendorff's alpha, Cohen's
kappa): docs/assessments.md has the formulas.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

from scorers.base import Fields, Metric, Need, Sum, Terms, TermsBy, Values, mean_of, ratio, share_having

PREFIX = "evaluations"
SOURCES = ("human", "judge", "code")
# Whole numbers on a scale of this size are categories as well: a thumb (0 and 1), stars. Others are measurements.
MAX_RATING = 10
# With n raters there are n (n - 1) / 2 pairs; agreement of more is Krippendorff's alpha.
MAX_PAIRED_RATERS = 5
_UNBOUNDED = (float("-inf"), float("inf"))
ALPHAS = ("alpha_interval", "alpha_nominal")
"""The names of the metrics that are Krippendorff's alpha: of values, of labels."""


@dataclass(frozen=True, slots=True)
class Rating:
    """One evaluation: who made it, and what it says; ``failed`` where the evaluation itself failed."""

    rater: str
    value: float | None = None
    label: str = ""
    source: str = ""
    failed: bool = False

    @property
    def category(self) -> str | None:
        """The label; without one a whole number on a rating scale as text; None for any other number."""
        if self.label:
            return self.label
        if self.value is not None and self.value == int(self.value) and abs(self.value) <= MAX_RATING:
            return f"{int(self.value)}"
        return None


def fields_of(ratings: Sequence[Rating]) -> Fields:
    """Return the fields of one name's evaluations of a prediction, in any order."""
    fields: Fields = {"raters": sum(not rating.failed for rating in ratings), **_summary(ratings)}
    failed = sum(rating.failed for rating in ratings)
    if failed:
        fields["failed"] = failed
    sources = sorted({rating.source for rating in ratings if rating.source})
    if sources:
        fields["source"] = sources[0] if len(sources) == 1 else sources
    for source in sources:
        own = _summary([rating for rating in ratings if rating.source == source])
        if own:
            fields[source] = own
    human, judge = (fields.get(source, {}).get("value") for source in ("human", "judge"))
    if human is not None and judge is not None:
        fields["judge_minus_human"] = judge - human
    fields.update(_agreement([rating for rating in ratings if rating.category is not None]))
    fields.update(_numeric_agreement([rating.value for rating in ratings if rating.value is not None]))
    return _finite(fields)


def _finite(fields: Fields) -> Fields:
    """Return the fields without infinite numbers, which JSON can't have."""
    return {name: value for name, value in fields.items() if not isinstance(value, float) or math.isfinite(value)}


def _summary(ratings: Iterable[Rating]) -> Fields:
    """Return the mean of the values, and the category that most raters chose; none at a tie."""
    ratings = list(ratings)
    fields: Fields = {}
    values = [rating.value for rating in ratings if rating.value is not None]
    if values:
        # Divided first: the sum of two large values may be beyond a double.
        fields["value"] = values[0] if len(set(values)) == 1 else _fsum([value / len(values) for value in values])
    votes = Counter(rating.category for rating in ratings if rating.category is not None).most_common(2)
    if votes and (len(votes) == 1 or votes[0][1] > votes[1][1]):
        fields["label"] = votes[0][0]
    return _finite(fields)


def _agreement(ratings: Sequence[Rating]) -> Fields:
    """Return the sums for the agreement of categories, empty below two raters."""
    n = len(ratings)
    if n < 2:
        return {}
    votes = Counter(str(rating.category) for rating in ratings)
    # The k-th vote for a label is a keyword of its own: an aggregation counts a document once per keyword.
    pairable = sorted(f"{label}#{k}" for label, count in votes.items() for k in range(1, count + 1))
    unequal = n * n - sum(count * count for count in votes.values())
    fields: Fields = {"pairable": pairable, "label_disagreement": unequal / (n - 1)}
    if n <= MAX_PAIRED_RATERS:
        ordered = sorted(ratings, key=lambda rating: (rating.rater, str(rating.category)))
        fields["rater_pairs"] = [pair_text(one, other) for one, other in combinations(ordered, 2)]
    return fields


def _numeric_agreement(values: Sequence[float]) -> Fields:
    n = len(values)
    if n < 2:
        return {}
    squares = _fsum([(one - other) * (one - other) for one, other in combinations(values, 2)])
    return {
        "pairable_values": n,
        "pairable_sum": _fsum(values),
        "pairable_squares": _fsum([value * value for value in values]),
        "disagreement": 2 * squares / (n - 1),
    }


def _fsum(values: Sequence[float]) -> float:
    try:
        return math.fsum(values)
    except OverflowError:
        return math.inf


def pair_text(one: Rating, other: Rating) -> str:
    """Return two raters' categories of one prediction as a keyword: JSON of both raters, then both categories."""
    return json.dumps([one.rater, other.rater, one.category, other.category], ensure_ascii=False)


def pair_of(text: str) -> tuple[str, str, str, str]:
    """Return what a keyword of :func:`pair_text` has. Raises ValueError for anything else."""
    one, other, first, second = json.loads(text)
    return str(one), str(other), str(first), str(second)


@lru_cache(maxsize=256)
def metrics_of(name: str, labels: tuple[str, ...] = ()) -> tuple[Metric, ...]:
    """Return the metrics of the evaluations with a name: the mean first, then others, then the share of each label."""
    at = f"{PREFIX}.{name}."
    found = [mean_of("mean", f"{at}value", bounds=_UNBOUNDED)]
    found += [mean_of(f"{source}_mean", f"{at}{source}.value", bounds=_UNBOUNDED) for source in SOURCES]
    found.append(mean_of("judge_minus_human", f"{at}judge_minus_human", higher_is_better=None, bounds=_UNBOUNDED))
    alpha_needs: Mapping[str, Need] = {
        "disagreement": Sum(f"{at}disagreement"),
        "n": Sum(f"{at}pairable_values"),
        "sum": Sum(f"{at}pairable_sum"),
        "squares": Sum(f"{at}pairable_squares"),
    }
    nominal_needs: Mapping[str, Need] = {
        "disagreement": Sum(f"{at}label_disagreement"),
        "votes": Terms(f"{at}pairable"),
    }
    judged: Mapping[str, Need] = {"matrix": judge_matrix(name)}
    found += [
        Metric(ALPHAS[0], alpha_needs, _alpha_interval, bounds=(-1.0, 1.0)),
        Metric(ALPHAS[1], nominal_needs, _alpha_nominal, bounds=(-1.0, 1.0)),
        Metric("judge_agreement", judged, lambda v: observed_agreement(v["matrix"])),
        Metric("judge_kappa", judged, lambda v: cohen_kappa(v["matrix"]), bounds=(-1.0, 1.0)),
    ]
    found += [share_having(f"share[{label}]", f"{at}label", label) for label in labels]
    return tuple(found)


def judge_matrix(name: str) -> TermsBy:
    """Return the need of the judges' labels by the people's, dict[human, dict[judge, count]]."""
    return TermsBy(f"{PREFIX}.{name}.judge.label", by=f"{PREFIX}.{name}.human.label")


def labels(name: str) -> Terms:
    """Return the need of the number of documents per label."""
    return Terms(f"{PREFIX}.{name}.label")


def agreed(name: str) -> tuple[str, str]:
    """Return the fields of which a document with two evaluations or more of a name has at least one."""
    return f"{PREFIX}.{name}.disagreement", f"{PREFIX}.{name}.label_disagreement"


def rater_pairs(name: str) -> Terms:
    """Return the need of the number of documents per keyword of :func:`pair_text`."""
    return Terms(f"{PREFIX}.{name}.rater_pairs")


def ratings_need(name: str) -> Sum:
    """Return the need of the number of evaluations."""
    return Sum(f"{PREFIX}.{name}.raters")


def failed_need(name: str) -> Sum:
    """Return the need of the number of evaluations that failed."""
    return Sum(f"{PREFIX}.{name}.failed")


# The least share of the sum of squares that a sum of squared deviations must have to be more than rounding errors.
_NOISE = 1e-11


def _alpha_interval(v: Values) -> float | None:
    """Krippendorff's alpha for numbers: 1 - observed / expected disagreement, the mean squared difference of pairs."""
    n = v["n"]
    if n < 2:
        return None
    spread = v["squares"] - v["sum"] * v["sum"] / n
    if spread <= _NOISE * v["squares"]:
        return None
    observed = v["disagreement"] / n
    return float(1.0 - observed * (n - 1) / (2 * spread))


def _alpha_nominal(v: Values) -> float | None:
    """Krippendorff's alpha for labels: 1 - observed / expected disagreement, the share of unequal pairs."""
    totals: Counter[str] = Counter()
    for vote, count in v["votes"].items():
        totals[vote.rpartition("#")[0]] += count
    n = sum(totals.values())
    unequal = n * n - sum(count * count for count in totals.values())
    if not unequal:
        return None
    return float(1.0 - (n - 1) * v["disagreement"] / unequal)


def observed_agreement(matrix: Mapping[str, Mapping[str, int]]) -> float | None:
    """Return the share of documents with equal labels in a matrix of two raters."""
    total = sum(sum(row.values()) for row in matrix.values())
    return ratio(sum(row.get(label, 0) for label, row in matrix.items()), total)


def cohen_kappa(matrix: Mapping[str, Mapping[str, int]]) -> float | None:
    """Return Cohen's kappa of a matrix of two raters; None where both always chose one label, the same."""
    names = sorted({*matrix, *(label for row in matrix.values() for label in row)})
    n = sum(sum(row.values()) for row in matrix.values())
    if not n:
        return None
    rows = {a: sum(matrix.get(a, {}).values()) for a in names}
    columns = {b: sum(row.get(b, 0) for row in matrix.values()) for b in names}
    # Whole numbers are exact, however many documents there are.
    by_chance = sum(rows[a] * columns[a] for a in names)
    return ratio(n * sum(row.get(label, 0) for label, row in matrix.items()) - by_chance, n * n - by_chance)
