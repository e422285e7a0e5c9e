"""auto by deployment: what many pairs show, joined in any order, and the scorer that it gives."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.jobs.deployment_evidence import Gathered, judged
from request_logger.scoring.evidence import (
    LEAST_PAIRS,
    NOTHING,
    PAIRS,
    Evidence,
    as_json,
    decide,
    from_json,
    join,
    key_of,
    may_add,
    observed,
)
from request_logger.scoring.known_evidence import ByPair, FixedEvidence, KnownEvidence
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import score, settler
from scorers.auto import SCORERS, Decision, decided, most_general, scorer_name
from scorers.base import Row, UnscorableError
from scorers.forms import READINGS, Form, form_of
from scorers.regression import Regression
from tests.scorers.test_binary import VALUES

FORMS = st.sampled_from(Form)
# Few hashes, so that samples have some in common, and are cut off at different ones.
EVIDENCES = st.builds(
    Evidence,
    st.dictionaries(st.integers(0, 400), st.integers(1, 2 ** len(Form) - 1), max_size=PAIRS),
    st.integers(0, 2),
)
ORIGIN = ("ns", "dep", "pred", "model")


def of(*pairs: tuple[Any, Any], times: int = 30) -> Evidence:
    """What a deployment with each of these pairs so many times has shown."""
    found = NOTHING
    for number, (truth, prediction) in enumerate(pairs):
        for k in range(times):
            found = observed(found, f"{number}-{k}", form_of(Row(truth), Row(prediction)))
    return found


def test_a_full_sample() -> None:
    """It keeps the pairs with the smallest hashes; the last of them may still show another form."""
    one, other = list(Form)[:2]
    ids = sorted(map(str, range(PAIRS + 2)), key=key_of)
    full, rest = NOTHING, NOTHING
    for id in ids[2:]:
        full = observed(full, id, one)
    for id in ids[:2]:
        rest = observed(rest, id, one)
    assert full.sample.keys() == set(map(key_of, ids[2:]))
    last = ids[-1]
    assert may_add(full, last)
    assert observed(full, last, other).sample[key_of(last)] > full.sample[key_of(last)]
    joined = join(full, rest)
    assert joined.sample.keys() == set(map(key_of, ids[:PAIRS]))
    assert not may_add(joined, last)
    assert observed(joined, last, other) is joined


def test_hashes_of_ids() -> None:
    """Of any text; what is stored and is no hash of this size is left out."""
    assert 0 <= key_of("\ud800") < 2**48
    stored = {"pairs": {str(next(iter(Form))): [2**48 - 1, 2**48, -1, True, 1.0]}}
    assert from_json(stored).sample.keys() == {2**48 - 1}


def test_the_number_of_known_deployments_is_bounded() -> None:
    """The one that is known for longest is forgotten."""
    known = KnownEvidence()
    some = of((1, 1), times=1)
    origins = [("ns", f"d{k}", "", "") for k in range(1001)]
    for origin in origins[:1000]:
        known.join(origin, some)
    known.join(origins[0], of((1, 2), times=2))
    assert known.of(origins[0]) is not NOTHING
    known.join(origins[1000], some)
    assert [known.of(origin) is NOTHING for origin in (origins[0], origins[1], origins[1000])] == [True, False, False]


@given(EVIDENCES, EVIDENCES, EVIDENCES)
def test_evidence_is_a_semilattice(a: Evidence, b: Evidence, c: Evidence) -> None:
    """Joined in any order, in any groups, any number of times, it is the same; and it only grows."""
    assert join(a, b) == join(b, a)
    assert join(join(a, b), c) == join(a, join(b, c))
    assert join(a, a) is a
    joined = join(a, b)
    assert join(joined, a) is joined
    assert join(joined, b) is joined
    assert joined.shown == Evidence(joined.sample, joined.epoch).shown


@given(st.lists(st.tuples(st.integers(0, 900), FORMS), max_size=900), st.randoms(use_true_random=False))
def test_pairs_in_any_order_and_repeated(pairs: list[tuple[int, Form]], rng: random.Random) -> None:
    """What several processes see of the same pairs, some of them twice, is what one sees of all."""
    whole = NOTHING
    for id, form in pairs:
        whole = observed(whole, str(id), form)
    parts = [NOTHING, NOTHING, NOTHING]
    for id, form in rng.sample(pairs, len(pairs)) + pairs[::3]:
        which = rng.randrange(3)
        parts[which] = observed(parts[which], str(id), form)
    rng.shuffle(parts)
    assert join(join(parts[0], parts[1]), parts[2]) == whole
    assert from_json(as_json(whole)) == whole


def test_what_adds_nothing_is_the_same_object() -> None:
    """So that nothing is written, and little is computed: a pair that is known, and one beyond a full sample."""
    full = NOTHING
    for k in range(5000):
        full = observed(full, str(k), Form.WHOLE)
    assert sorted(full.sample) == sorted(key_of(str(k)) for k in range(5000))[:PAIRS]
    assert observed(full, "1", Form.WHOLE) is full
    beyond = next(str(k) for k in range(5000) if key_of(str(k)) > full.last)
    assert observed(full, beyond, Form.SCORE) is full
    assert join(full, NOTHING) is full


@pytest.mark.parametrize(
    "stored",
    [
        None,
        7,
        {},
        {"epoch": "x", "pairs": 3},
        {"epoch": -1, "pairs": {"whole": 7, "new": [1]}},
        {"pairs": {"whole": ["a", -1, 2**60, 1.5, True]}},
    ],
)
def test_stored_evidence_that_can_not_be_read(stored: Any) -> None:
    """It counts as none, and what is known is written in its place."""
    assert from_json(stored) == NOTHING
    assert from_json({"epoch": 2, "pairs": {"whole": [5, "x"], "later": [6]}}) == Evidence({5: 1 << 3}, 2)


def test_too_many_pairs() -> None:
    """A sample of another size can't be joined in any order."""
    with pytest.raises(ValueError, match="256"):
        Evidence(dict.fromkeys(range(PAIRS + 1), 1))
    assert len(from_json({"pairs": {"whole": list(range(1000))}}).sample) == PAIRS


@pytest.mark.parametrize(
    ("pairs", "scorers"),
    [
        # Class indexes: 0 and 1 alone look binary.
        ([(0, 1), (7, 3), (1, 1)], ["multiclass"] * 3),
        ([(0, 1), (1, 1)], ["binary"] * 2),
        ([(-1, 1), (1, 1)], ["multiclass"] * 2),
        ([(True, False), (0, 1), (2, 2)], ["multiclass"] * 3),
        # Ratings, amounts, counts.
        ([(3, 4), (3.5, 4), (1, 1), (1, 0.4), (4, 4.2)], ["regression"] * 5),
        ([(0, 0.3), (1, 1.4), (3, 2.2), (2, 0.9)], ["regression"] * 4),
        ([(0, 0.3), (5, 4)], ["regression"] * 2),
        # Scores; some of exactly 0 and 1; truths that are codes are refused by binary, and decide nothing.
        ([(0, 0.3), (1, 1.0)], ["binary", "binary+"]),
        ([(0, 0.3), (2, 0.7), (2, 1)], ["binary"] * 3),
        ([(2, 0.7), (3, 0.2)], ["regression"] * 2),
        # Two columns, and more.
        ([(0, [0.2, 0.8]), (2, [0.1, 0.9])], ["multiclass"] * 2),
        ([(0, [0.2, 0.8]), (2, [0.1, 0.2, 0.7])], ["multiclass"] * 2),
        ([(0, [0.2, 0.8]), (1, 1)], ["binary"] * 2),
        ([(2, [0.1, 0.2, 0.7]), (1, 1)], ["multiclass"] * 2),
        # One-hot rows among sets of labels; probabilities among amounts.
        ([([0, 1, 1], [0.1, 0.8, 0.7]), ([0, 0, 1], [0, 0, 1]), ([0, 0, 1], [0.1, 0.8, 0.7])], ["multilabel"] * 3),
        ([([3.2, 1.5], [3, 2]), ([0, 1], [0.4, 0.6])], ["regression"] * 2),
        ([(["a", "b"], ["b"]), ("a", ["b", "a"]), ("a", ["b"])], ["ranking"] * 3),
        ([("a", ["b"]), ("a", "b")], ["multiclass"] * 2),
        ([("x" * 70, ["x"]), ("yes", ["no"])], ["text"] * 2),
        # Texts: answers, some of them short, some of them numbers.
        ([("x" * 70, "x"), ("yes", "no"), ("42", "41"), ("4.5", "4"), ("1", "0")], ["text"] * 5),
        ([("1.10", "1.1"), ("2", "1"), ("latest", "2.0")], ["multiclass"] * 3),
        ([("2.5", "2"), ("1", "0"), (3, 4)], ["regression"] * 3),
        # Nothing reads both.
        ([(2.5, 3.5), ("cat", "dog")], ["regression", "multiclass"]),
        ([({"a": 1}, ["a"]), (3, 4)], ["ranking", "multiclass"]),
    ],
)  # fmt: skip
def test_by_deployment(pairs: list[tuple[Any, Any]], scorers: list[str]) -> None:
    """Pairs that look like different tasks, in one deployment."""
    evidence = of(*pairs)
    found = [decide(evidence, form_of(Row(truth), Row(prediction))) for truth, prediction in pairs]
    assert [each.scorer + "+" * each.probabilities for each in found] == scorers
    chooser = Chooser(evidence=FixedEvidence({ORIGIN: evidence}))
    for (truth, prediction), wanted in zip(pairs, scorers, strict=True):
        assert chooser.choose(*ORIGIN, Row(truth), Row(prediction)).name == wanted.removesuffix("+")


@given(truth=VALUES, prediction=VALUES, shown=st.frozensets(FORMS))
def test_whatever_is_decided(truth: object, prediction: object, shown: frozenset[Form]) -> None:
    """A scorer of auto, which scores the pair or says why not; by a pair alone as the table says."""
    form = form_of(Row(truth), Row(prediction))
    decision = decided(form, shown)
    assert decision.scorer in READINGS[form].scorers <= set(SCORERS)
    assert decided(form, frozenset()).scorer == scorer_name(Row(truth), Row(prediction)) == READINGS[form].alone
    chooser = Chooser(evidence=FixedEvidence({ORIGIN: Evidence(dict.fromkeys(range(20), 1 << list(Form).index(form)))}))
    try:
        assert chooser.choose(*ORIGIN, Row(truth), Row(prediction)).score(Row(truth), Row(prediction))
    except UnscorableError as error:
        assert str(error)


def test_a_slip_decides_nothing() -> None:
    """One truth of 1000 is 2: it is unscorable, and the others stay binary. By two in a hundred it is a class."""
    evidence = observed(of((0, 1), times=999), "slip", Form.WHOLE_CODE)
    assert decide(evidence, Form.WHOLE_CODE).scorer == decide(evidence, Form.WHOLE_01).scorer == "binary"
    few = of((0, 1), times=98)
    for id in ("a", "b"):
        few = observed(few, id, Form.WHOLE_CODE)
    assert decide(few, Form.WHOLE_01).scorer == "multiclass"


def test_few_pairs_decide_nothing_before_a_rescore() -> None:
    """Each is decided alone; once a rescore has read all of the deployment, they decide."""
    few = of((0, 1), (7, 3), times=LEAST_PAIRS // 2 - 1)
    assert not few.decides
    assert decide(few, Form.WHOLE_01).scorer == "binary"
    assert decide(Evidence(few.sample, 1), Form.WHOLE_01).scorer == "multiclass"
    assert decide(of((0, 1), (7, 3), times=LEAST_PAIRS // 2), Form.WHOLE_01).scorer == "multiclass"
    assert decide(Evidence(epoch=3), Form.WHOLE_01).scorer == "binary"


def test_known_evidence() -> None:
    """It tells of new deployments once, and which were used; the oldest of too many are forgotten."""
    told: list[int] = []
    known = KnownEvidence(lambda: told.append(1))
    for k in range(40):
        known.observe(ORIGIN, str(k), Form.WHOLE if k % 2 else Form.WHOLE_01)
    assert (len(told), known.take_used(), known.take_used()) == (1, [ORIGIN], [])
    assert known.decision(ORIGIN, Form.WHOLE_01).scorer == "multiclass"
    known.observe(ORIGIN, "0", Form.WHOLE_01)
    assert known.take_used() == [ORIGIN]
    for k in range(5000):
        known.observe(ORIGIN, str(k), Form.WHOLE)
    assert {known.needs(ORIGIN, str(k)) for k in range(5000)} == {True, False}
    assert known.take_used() == [ORIGIN]
    known.use_again([ORIGIN])
    assert known.take_used() == [ORIGIN]
    replaced = Evidence({1: 2}, 1)
    assert known.join(ORIGIN, replaced) == replaced == known.of(ORIGIN)
    for k in range(1100):
        known.observe(("", str(k), "", ""), "1", Form.WHOLE)
    assert known.of(ORIGIN) == NOTHING
    assert len(known.take_used()) == 1100
    assert ByPair().decision(ORIGIN, Form.WHOLE_01) == Decision("binary")


def test_a_named_scorer_takes_no_notice(tmp_path: Any) -> None:
    """Neither SCORER nor a rule that names one; a rule that says auto does."""
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n  - {deployment: dep, scorer: auto}\n")
    for setting, config, used in (
        ("multiclass", None, []),
        ("multiclass", str(path), [ORIGIN]),
        ("auto", None, [ORIGIN]),
    ):
        known = KnownEvidence()
        chooser = Chooser(setting, config, known)
        assert chooser.is_auto == bool(used)
        chooser.observe("id", ORIGIN, Row(1), Row(1))
        chooser.observe("id", ORIGIN, None, Row(1))
        assert known.take_used() == used
    assert isinstance(Chooser("regression", None, known).choose(*ORIGIN, Row(0), Row(1)), Regression)


def document(truth: Any, prediction: Any, id: str) -> dict[str, Any]:
    return {
        "RequestId": id,
        "Ce-Namespace": "ns",
        "Ce-Inferenceservicename": "dep",
        "response": {"instance": prediction},
        "feedback": {"truth": {"data": {"ndarray": [truth]}}},
    }


def test_scoring_observes() -> None:
    """Settling the pairs of ten classes makes the deployment multiclass; settling again changes the early ones."""
    known = KnownEvidence()
    chooser = Chooser(evidence=known)
    settle = settler(chooser, observe=chooser.observe)
    made = [settle(document(k % 10, k * 3 % 10, str(k))) for k in range(100)]
    assert made[0]["metrics"]["scorer"] == "binary"
    assert made[90]["metrics"]["scorer"] == "multiclass"
    again = [settle(each) for each in made]
    assert {each["metrics"]["scorer"] for each in again} == {"multiclass"}
    assert all(settle(each) is each for each in again)
    assert len(known.of(("ns", "dep", "", "")).sample) == 100


def test_responses_by_themselves() -> None:
    """Two columns of a deployment of more classes are read as its pairs are; without evidence as two classes."""
    evidence = of((0, [0.2, 0.8]), (2, [0.1, 0.2, 0.7]))
    chooser = Chooser(evidence=FixedEvidence({ORIGIN: evidence}))
    for made, name in ((chooser, "multiclass"), (Chooser(), "binary")):
        scorer = made.choose_for_response(*ORIGIN, Row([0.2, 0.8]))
        assert scorer is not None
        assert scorer.name == name
    assert chooser.choose_for_response(*ORIGIN, Row(3)) is None


def test_the_most_general() -> None:
    """The report names it, too."""
    assert most_general(["binary", "regression", "multiclass"]) == "regression"
    assert most_general(["mine", "binary"]) == "binary"


PAIRS_OF_ANY_TASK = st.sampled_from(
    [(0, 1), (1, 1), (7, 3), (1, 0.4), (3.5, 2), ("cat", "dog"), ("x" * 70, "y"), ("2", "3"), (0, [0.2, 0.8]),
     (2, [0.1, 0.2, 0.7]), ([0, 0, 1], [0.1, 0.2, 0.7]), ([0, 1, 1], [0.9, 0.2, 0.7]), ("a", ["b", "a"])]
)  # fmt: skip


@given(st.lists(PAIRS_OF_ANY_TASK, min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_after_a_rescore_the_order_of_events_is_nothing(pairs: list[tuple[Any, Any]], rng: random.Random) -> None:
    """Whatever was decided when the events came in one order or another: the documents are the same afterwards."""
    results = []
    for _ in range(2):
        numbered = list(enumerate(pairs))
        rng.shuffle(numbered)
        live = Chooser(evidence=KnownEvidence())
        settle = settler(live, observe=live.observe)
        stored = [settle(document(truth, prediction, str(k))) for k, (truth, prediction) in numbered]
        rng.shuffle(stored)
        gathered = Gathered()
        reading = Chooser(evidence=gathered)
        for each in stored:
            score(each, reading, reading.observe)
        again = settler(Chooser(evidence=FixedEvidence(judged(gathered.by_origin, {}))))
        metrics = {each["RequestId"]: {**again(each)["metrics"], "scored_at": ""} for each in stored}
        results.append(metrics)
    assert results[0] == results[1]
