"""Ordinary pairs that are easily misread: the figures are scikit-learn's, or the pair is unscorable for a reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from request_logger.scoring.legacy import ByColumn
from scorers.base import Row, Scorer, UnscorableError
from scorers.binary import Binary
from scorers.multiclass import Multiclass
from scorers.multilabel import Multilabel
from scorers.ordinal import Ordinal
from scorers.ranking import Ranking
from scorers.reasons import Reason
from scorers.text import Text, normalize
from tests.scorers.aggregate import metrics_of

# Of tests that roll up many pairs an example.
FEW = settings(max_examples=30, deadline=None)
ANY_TIME = settings(deadline=None)
UNIT = st.floats(0.0, 1.0)
# Of float32 and of half precision.
ROUNDING = st.sampled_from([1e-7, 3e-8, 1e-6, 1e-3])


def reasons(scorer: Scorer, pairs: Sequence[tuple[Row, Row]]) -> list[str | None]:
    """Return why each pair is unscorable, None for those that are scored."""
    found: list[str | None] = []
    for truth, prediction in pairs:
        try:
            scorer.score(truth, prediction)
            found.append(None)
        except UnscorableError as error:
            found.append(error.reason)
    return found


# Labels of two classes without names.


@FEW
@given(
    labels=st.lists(st.integers(-5, 5), min_size=2, max_size=2, unique=True),
    picks=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=20),
)
def test_two_numbers_that_are_not_0_and_1(labels: list[int], picks: list[tuple[bool, bool]]) -> None:
    """With the option positive_label the figures are scikit-learn's; without it no 2 or -1 is scored."""
    negative, positive = labels
    truths, answers = ([(negative, positive)[side] for side in each] for each in zip(*picks, strict=True))
    pairs = [(Row(truth), Row(answer)) for truth, answer in zip(truths, answers, strict=True)]
    found = metrics_of(Binary(positive_label=positive), pairs)
    known = {"pos_label": positive, "zero_division": np.nan}
    for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        wanted = function(truths, answers, **known)
        assert found.get(name, math.nan) == pytest.approx(wanted, abs=1e-9, nan_ok=True)
    for pair, reason in zip(zip(truths, answers, strict=True), reasons(Binary(), pairs), strict=True):
        assert reason == (None if {*pair} <= {0, 1} else Reason.POSITIVE_UNKNOWN)


@ANY_TIME
@given(st.lists(st.tuples(st.sampled_from([-1, 1]), UNIT), min_size=2, max_size=30))
def test_probabilities_of_minus_one_and_one(pairs: list[tuple[int, float]]) -> None:
    """The option says which class the probability is of."""
    truths, scores = zip(*pairs, strict=True)
    scorer = Binary(positive_label="1", probabilities=True)
    found = metrics_of(scorer, [(Row(y), Row(p)) for y, p in pairs])
    happened = [y == 1 for y in truths]
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(happened, [p >= 0.5 for p in scores]))
    assert found["brier"] == pytest.approx(np.mean((np.array(scores) - happened) ** 2), abs=1e-9)


# Probabilities that rounding moved.


@ANY_TIME
@given(
    weights=st.lists(st.floats(0.01, 1.0), min_size=2, max_size=6),
    error=ROUNDING,
    signs=st.lists(st.sampled_from([-1, 0, 1]), min_size=6, max_size=6),
    is_certain=st.booleans(),
    data=st.data(),
)
def test_rounded_rows_are_probabilities(
    weights: list[float], error: float, signs: list[int], is_certain: bool, data: st.DataObject
) -> None:
    """No value just outside [0, 1] makes logits of a row that adds up to 1: the losses are those of the clipped row."""
    exact = np.array(weights) / sum(weights)
    if is_certain:
        exact = (exact == exact.max()).astype(float)
        assume(exact.sum() == 1)
    row = exact + error * np.array(signs[: len(exact)])
    truth = data.draw(st.integers(0, len(exact) - 1))
    chance = float(np.clip(row, 0, 1)[truth])
    loss = sk.log_loss([1], [chance], labels=[0, 1])
    for scorer in (Multiclass(), Multiclass(probabilities=True), Multiclass(logits=False)):
        fields = scorer.score(Row(truth), Row(row.tolist()))
        assert (fields["truth_probability"], fields["log_loss"]) == pytest.approx((chance, loss), rel=1e-9)
        assert 0 <= fields["probability"] <= 1
    if len(row) == 2:
        fields = Binary().score(Row(truth), Row(row.tolist()))
        assert fields["truth_probability"] == pytest.approx(chance)
    fields = Ordinal().score(Row(truth), Row(row.tolist()))
    steps = np.cumsum(np.clip(row, 0, 1))[:-1] - (truth <= np.arange(len(row) - 1))
    assert fields["ranked_probability_score"] == pytest.approx(np.mean(steps**2))


@ANY_TIME
@given(y=st.booleans(), error=ROUNDING, end=st.sampled_from([0.0, 1.0]))
def test_a_rounded_probability(y: bool, error: float, end: float) -> None:
    """One number, too, is clipped; and a label's."""
    p = end + error if end else -error
    fields = Binary().score(Row(y), Row(p))
    assert (fields["positive_probability"], fields["brier"]) == (end, (end - y) ** 2)
    fields = Multilabel().score(Row([int(y), 1, 1]), Row([p, 0.5, 0.25]))
    assert fields["brier"] == pytest.approx(sk.brier_score_loss([y, 1, 1], [end, 0.5, 0.25], labels=[0, 1]))


@ANY_TIME
@given(st.lists(st.floats(-9, 9), min_size=2, max_size=5))
def test_what_is_told_to_be_probabilities_is_no_logits(row: list[float]) -> None:
    """The option probabilities keeps a row from being normalized."""
    assume(min(row) < -0.1 or max(row) > 1.1)
    assert "log_loss" not in Multiclass(probabilities=True).score(Row(0), Row(row))


# Truths that no column has.


@ANY_TIME
@given(
    truth=st.integers(0, 2),
    row=st.one_of(
        st.lists(st.integers(0, 500).map(float), min_size=3, max_size=3),
        st.lists(st.floats(0.01, 1), min_size=3, max_size=3).map(lambda row: [100 * p / math.fsum(row) for p in row]),
    ).filter(lambda row: max(row) > 1.02),
)
def test_percentages_and_votes_are_no_logits(truth: int, row: list[float]) -> None:
    """Softmax would make probabilities of 0 and 1 of them: they have a class and ranks. Logits, if one says so."""
    fields = Multiclass().score(Row(truth), Row(row))
    assert fields["correct"] == int(truth == int(np.argmax(row)))
    assert "truth_rank" in fields
    assert not {"log_loss", "brier", "probability"} & fields.keys()
    pair = Binary().score(Row(min(truth, 1)), Row([row[0], 100 - row[0]] if max(row) <= 100 else [3.0, 7.0]))
    assert not {"log_loss", "brier", "score_bin"} & pair.keys()
    told = Multiclass(logits=True).score(Row(truth), Row(row))
    assert told["log_loss"] == pytest.approx(sk.log_loss([truth], [_softmax(row)], labels=[0, 1, 2]), rel=1e-9)
    negative = Multiclass().score(Row(truth), Row([-0.5, *row[1:]]))
    assert "log_loss" in negative


def _softmax(row: list[float]) -> Any:
    powers = np.exp(np.array(row) - max(row))
    return powers / powers.sum()


@ANY_TIME
@given(width=st.integers(2, 8), data=st.data())
def test_an_index_beyond_the_columns(width: int, data: st.DataObject) -> None:
    """Truths counted from 1 are told of, instead of an accuracy of 0; named from 1 they are scored."""
    rows = [np.eye(width)[k] * 0.5 + 0.5 / width for k in range(width)]
    pairs = [(Row(k + 1), Row(row.tolist())) for k, row in enumerate(rows)]
    names = tuple(str(k + 1) for k in range(width))
    for scorer in (Multiclass(), Ordinal(), Multiclass(probabilities=False)):
        assert reasons(scorer, pairs) == [None] * (width - 1) + [Reason.TRUTH_NO_COLUMN]
    assert metrics_of(Multiclass(classes=names), pairs)["accuracy"] == 1.0
    assert metrics_of(Ordinal(classes=names), pairs)["accuracy"] == 1.0
    beyond = data.draw(st.one_of(st.integers(max_value=-1), st.integers(min_value=width)))
    assume(abs(beyond) < 10_000)
    named = tuple(f"class {k}" for k in range(width))
    assert reasons(Multiclass(), [(Row(beyond), Row(rows[0].tolist(), named))]) == [Reason.TRUTH_NO_COLUMN]
    assert reasons(Multilabel(), [(Row([beyond]), Row([0.5] * width))]) == [Reason.TRUTH_NO_COLUMN]
    assert reasons(Multiclass(), [(Row([0] * width + [1]), Row(rows[0].tolist()))]) == [Reason.TRUTH_NO_COLUMN]


@FEW
@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.floats(0.01, 1), min_size=3, max_size=3)), min_size=1))
def test_a_named_class_that_no_column_has(pairs: list[tuple[int, list[float]]]) -> None:
    """It has the probability 0, which the log loss and the Brier score count: as for a fourth column of zeros."""
    names = ("a", "b", "c")
    rows = [np.array(row) / sum(row) for _, row in pairs]
    truths = [y for y, _ in pairs]
    full = np.array([[*row, 0.0] for row in rows])
    for form in ("rows", "objects"):
        scored = [
            (
                Row("abcd"[y]),
                Row(row.tolist(), names) if form == "rows" else Row(dict(zip(names, row.tolist(), strict=True))),
            )
            for y, row in zip(truths, rows, strict=True)
        ]
        found = metrics_of(Multiclass(), scored)
        assert found["log_loss"] == pytest.approx(sk.log_loss(truths, full, labels=range(4)))
        assert found["brier"] == pytest.approx(((full - np.eye(4)[truths]) ** 2).sum(axis=1).mean())
    labels = np.eye(4)[truths]
    found = metrics_of(
        Multilabel(), [(Row(["abcd"[y]]), Row(row.tolist(), names)) for y, row in zip(truths, rows, strict=True)]
    )
    unseen = [y == 3 for y in truths]
    wanted = [
        sk.log_loss(each if known else each[:3], row if known else row[:3], labels=[0, 1])
        for each, row, known in zip(labels, full, unseen, strict=True)
    ]
    assert found["log_loss"] == pytest.approx(np.mean(wanted))


@ANY_TIME
@given(truth=st.integers(0, 20), scores=st.dictionaries(st.integers(0, 20), st.floats(0.01, 1), min_size=2, max_size=4))
def test_an_object_has_no_order(truth: int, scores: dict[int, float]) -> None:
    """Of the best classes of many, named by their index, an index is a name and never a position."""
    named = {str(name): score for name, score in scores.items()}
    fields = Multiclass().score(Row(truth), Row(named))
    assert fields["truth_label"] == str(truth)
    assert fields["correct"] == int(str(truth) == max(named, key=lambda name: named[name]))
    other = {f"class {name}": score for name, score in scores.items()}
    assert reasons(Multiclass(), [(Row(truth), Row(other))]) == [Reason.CLASSES_NOT_CONNECTED]


# Names that look like numbers.


@FEW
@given(
    figure=st.one_of(st.integers(-(10**6), 10**6), st.decimals(-1000, 1000, allow_nan=False, places=2).map(str)),
    form=st.sampled_from(["{}0", "{} ", " {}", "{}.0", "0{}", "+{}", "{}e0", "{}.", "{}\n", "{}_0"]),
)
def test_two_spellings_are_two_names(figure: int | str, form: str) -> None:
    """As texts they are different, however equal as numbers; and each equals itself."""
    one, other = str(figure), form.format(figure)
    pairs = [(one, one), (one, other), (other, one), (other, other)]
    truths, answers = zip(*pairs, strict=True)
    for scorer in (Multiclass(), ByColumn()):
        found = metrics_of(scorer, [(Row(y), Row(p)) for y, p in pairs])
        assert found["accuracy"] == sk.accuracy_score(truths, answers) == 0.5
        assert len(found["confusion_matrix"]) == 2
    found = metrics_of(Multilabel(), [(Row([y]), Row([p])) for y, p in pairs])
    assert found["subset_accuracy"] == 0.5


@ANY_TIME
@given(st.integers(-(10**9), 10**9))
def test_a_number_and_its_own_spelling_are_one_class(figure: int) -> None:
    """The text that a number is written as is that number."""
    for truth, answer in ((figure, str(figure)), (float(figure), str(figure)), (str(figure), figure)):
        assert Multiclass().score(Row(truth), Row(answer))["correct"] == 1
    assert reasons(Multiclass(), [(Row(f"{figure}.50"), Row(figure))]) == [Reason.CLASSES_NOT_CONNECTED]


# A probability is no class.


@ANY_TIME
@given(p=st.floats(0, 1, exclude_min=True, exclude_max=True), k=st.integers(0, 5), as_text=st.booleans())
def test_a_probability_is_no_class_name(p: float, k: int, as_text: bool) -> None:
    """Neither side's; a class of that name is one."""
    value: Any = repr(p) if as_text else p
    assert reasons(Multiclass(), [(Row(k), Row(value))]) == [Reason.PREDICTION_BETWEEN_CLASSES]
    assert reasons(Multiclass(), [(Row(value), Row(k))]) == [Reason.TRUTH_BETWEEN_CLASSES]
    assert reasons(Multilabel(), [(Row([7, k]), Row([7, k, p]))]) == [Reason.PREDICTION_BETWEEN_CLASSES]
    named = Multiclass(classes=(repr(p), "1.5"))
    assert named.score(Row(p), Row(p))["true_positive"] == [repr(p)]


# Lists of 0 and 1.


@FEW
@given(
    st.lists(st.tuples(st.sets(st.integers(0, 1)), st.sets(st.integers(0, 1))), min_size=1, max_size=20), st.randoms()
)
def test_sets_of_the_indexes_0_and_1(pairs: list[tuple[set[int], set[int]]], chance: Any) -> None:
    """With the option they are sets, in any order; without it no pair is scored that may be rows."""
    written = [tuple(chance.sample(sorted(side), len(side)) for side in pair) for pair in pairs]
    rows = [(Row(truth), Row(answer)) for truth, answer in written]
    found = metrics_of(Multilabel(indicator=False), rows)
    assert found["subset_accuracy"] == pytest.approx(np.mean([truth == answer for truth, answer in pairs]))
    for (truth, answer), reason in zip(written, reasons(Multilabel(), rows), strict=True):
        may_be_rows = len(truth) == len(answer) > 0
        assert reason == (Reason.INDICATOR_UNKNOWN if may_be_rows else None)
    two = np.array([[int(k in side) for k in (0, 1)] for pair in pairs for side in pair]).reshape(-1, 2, 2)
    as_rows = metrics_of(Multilabel(indicator=True), [(Row(t.tolist()), Row(p.tolist())) for t, p in two])
    assert as_rows["subset_accuracy"] == pytest.approx(sk.accuracy_score(two[:, 0], two[:, 1]))


@ANY_TIME
@given(st.sets(st.integers(0, 4)), st.lists(UNIT.filter(lambda p: p % 1 != 0), min_size=5, max_size=5))
def test_a_set_of_all_indexes(truth: set[int], row: list[float]) -> None:
    """As many indexes as columns are a set of all labels, not a row."""
    fields = Multilabel().score(Row(sorted(truth)), Row(row))
    said = {k for k, p in enumerate(row) if p >= 0.5}
    assert fields["correct"] == int(truth == said)
    assert fields["hamming_loss"] == pytest.approx(len(truth ^ said) / 5)


def test_lists_that_can_only_be_rows() -> None:
    """Booleans, repeated numbers, names of columns."""
    for truth, answer, names in (
        ([True, False], [False, True], ()),
        ([1, 0], [1, 1], ()),
        ([1, 0], [0, 1], ("x", "y")),
    ):
        assert Multilabel().score(Row(truth), Row(answer, names))["correct"] == 0
    known = Multilabel(classes=("a", "b", "c"))
    assert known.score(Row([0, 1]), Row([1, 0]))["true_positive"] == ["a", "b"]


# Texts.


@ANY_TIME
@given(
    truth=st.sampled_from(["5", "1.5", "C++", "A", "-x", "U.S.", "it's", "1,000", "the", "$5", "50%"]),
    answer=st.sampled_from(["", " ", "-5", "15", "C#", "a", "x", "US", "its", "1000", "an", "5", "0.5", ".5"]),
)
def test_short_answers_are_exact(truth: str, answer: str) -> None:
    """Correct is equal; with the option it is SQuAD's match, which nothing empty has."""
    assert Text().score(Row(truth), Row(answer))["correct"] == int(truth == answer)
    loose = Text(normalize=True).score(Row(truth), Row(answer))
    is_same = normalize(truth) == normalize(answer) != ""
    assert loose["correct"] == loose["normalized_match"] == int(is_same or truth == answer)
    if not answer.strip():
        assert loose["token_f1"] == 0.0


@ANY_TIME
@given(
    words=st.lists(
        st.sampled_from(["it", "costs", "-5", "5", "1.5", "15", ".5", "C++", "C#", "(5)", "dogs"]), min_size=5
    ),
    place=st.integers(0, 4),
    other=st.sampled_from(["-5", "5", "1.5", "15", ".5", "C++", "C#", "(5)", "cats"]),
)
def test_sentences_differ_by_a_number(words: list[str], place: int, other: str) -> None:
    """Case, articles and the marks of a sentence make no difference; any other word does."""
    changed = [*words[:place], other, *words[place + 1 :]]
    truth, answer = " ".join(words), f"The {' '.join(changed)}.".replace("dogs", '"Dogs"')
    assert Text().score(Row(truth), Row(answer))["correct"] == int(words == changed)
    assert Text(normalize=False).score(Row(truth), Row(answer))["correct"] == 0


# Rankings.


@ANY_TIME
@given(
    scores=st.lists(st.integers(0, 9), min_size=2, max_size=6, unique=True),
    gains=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    as_floats=st.booleans(),
)
def test_whole_scores_are_scores(scores: list[int], gains: list[int], as_floats: bool) -> None:
    """A list of gains is one where a gain is repeated; where it may be a list of items the option is asked for."""
    gains = gains[: len(scores)]
    assume(any(gains))
    listed = [float(score) for score in scores] if as_floats else scores
    wanted = sk.ndcg_score([gains], [scores])
    assert Ranking(scores=True).score(Row(gains), Row(listed))["ndcg"] == pytest.approx(wanted)
    try:
        fields = Ranking().score(Row(gains), Row(listed))
    except UnscorableError as error:
        assert error.reason == Reason.SCORES_UNKNOWN
        assert len(set(gains)) == len(gains)
    else:
        if len(set(gains)) < len(gains):
            assert fields["ndcg"] == pytest.approx(wanted)
        else:
            # Integers of which the truth names some are items.
            assert not as_floats
            assert {*gains} & {*scores}


def test_items_that_are_numbers() -> None:
    """Integers are items, and so are the floats that a decoder makes of them, unless they may be columns."""
    assert Ranking().score(Row([7, 5]), Row([5, 6, 7]))["truth_rank"] == 1
    assert Ranking().score(Row(1), Row([3, 2, 1]))["truth_rank"] == 3
    assert Ranking().score(Row(7), Row([5.0, 6.0, 7.0]))["truth_rank"] == 3
    assert reasons(Ranking(), [(Row(2), Row([3.0, 2.0, 1.0]))]) == [Reason.SCORES_UNKNOWN]
    assert Ranking(scores=False).score(Row(2), Row([3.0, 2.0, 1.0]))["truth_rank"] == 2
    assert Ranking(scores=True).score(Row(2), Row([3.0, 2.0, 1.0]))["truth_rank"] == 3
    assert Ranking().score(Row([0, 1, 1]), Row([2, 2, 1]))["truth_rank"] == 2


@ANY_TIME
@given(st.lists(st.integers(0, 3), min_size=2, max_size=5), st.integers(0, 4))
def test_an_ordinal_truth_that_is_tied(row: list[int], level: int) -> None:
    """A list with several greatest values is no level."""
    is_tied = row.count(max(row)) > 1
    prediction = Row([int(k == level % len(row)) for k in range(len(row))])
    assert reasons(Ordinal(), [(Row(row), prediction)]) == [Reason.TRUTH_NOT_ONE_CLASS if is_tied else None]
