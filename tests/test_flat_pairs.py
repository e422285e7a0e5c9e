"""A flat array is one row to a scorer that expects rows, in any order of the events, and a batch to any other."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import permutations
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.documents.event import Body, from_headers
from request_logger.documents.parts import parts_of
from request_logger.ingest.write_plan import record
from request_logger.payloads import decode_message
from request_logger.payloads.flat import Flat, read_flat
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.settings import Settings
from scorers.base import Fields, Metric, Row
from tests.helpers import event
from tests.model import Store, finish

ONE_HOT = "adserver.cm_models.multiclass_one_hot.MulticlassOneHot"
NUMERIC = "adserver.cm_models.multiclass_numeric.MulticlassNumeric"


@dataclass(frozen=True)
class OfRows:
    """A scorer of a user that expects rows."""

    name: ClassVar[str] = "of_rows"
    metrics: ClassVar[tuple[Metric, ...]] = ()
    expects_rows: ClassVar[bool] = True

    def score(self, truth: Row, prediction: Row) -> Fields:
        return {"columns": len(prediction.value), "truths": len(truth.value)}


class Raising(OfRows):
    """It doesn't say what it expects in a way that can be read."""

    @property
    def expects_rows(self) -> bool:  # type: ignore[override]
        raise ValueError("secret")


def ndarray(values: Any, **names: Any) -> dict[str, Any]:
    return {"data": {"ndarray": values, **names}}


def stored(scorer: str, *events: tuple[str, Any]) -> Store:
    """What becomes of events, each a part and its body, one after the other."""
    chooser = Chooser(scorer, None)
    store: Store = {}
    for part, body in events:
        raw = json.dumps(body).encode()
        headers = {name.lower(): value for name, value in event(part, "r1", "iris").items()}
        made = from_headers(headers, Body(raw, "application/json", len(raw)), Settings())
        flat = chooser.flat_of("", "iris", "", "")
        finish(store, record(made, parts_of(made, flat=flat), settler(chooser)))
    return store


def metrics(store: Store) -> list[dict[str, Any]]:
    return [source["metrics"] for _, source in sorted(store.items())]


TRUTH, PREDICTION = [0, 0, 1], [0.2, 0.1, 0.7]


def test_a_flat_pair_in_a_feedback_is_one_row() -> None:
    """As in the MetricsServer: CLASS_2 is right, and no class is named after a probability."""
    body = {"truth": ndarray(TRUTH), "response": ndarray(PREDICTION)}
    (found,) = metrics(stored(ONE_HOT, ("feedback", body)))
    assert (found["true_positive"], found["correct"]) == (["CLASS_2"], 1)
    assert len(metrics(stored(NUMERIC, ("feedback", body)))) == 3


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_events_in_any_order(order: tuple[int, ...]) -> None:
    """Request, response and feedback, flat, twice: one document, scored once it has the pair."""
    events = [("request", ndarray([1, 2, 3, 4])), ("response", ndarray(PREDICTION)), ("feedback", {"truth": TRUTH})]
    store = stored(ONE_HOT, *[events[k] for k in order], *events)
    ((source),) = store.values()
    assert source["metrics"]["true_positive"] == ["CLASS_2"]
    assert source["response"]["instance"] == PREDICTION
    assert source["request"]["instance"] == [1, 2, 3, 4]
    assert source["response"]["payload"] == ndarray(PREDICTION)


@given(
    k=st.integers(2, 6), truth=st.integers(0, 5), seed=st.integers(0, 99), form=st.sampled_from(["ndarray", "tensor"])
)
def test_equals_the_original(k: int, truth: int, seed: int, form: str) -> None:
    """The original compares the columns with the greatest values."""
    row = np.random.default_rng(seed).dirichlet(np.ones(k)).tolist()
    said = np.eye(k)[truth % k].tolist()
    bodies = [ndarray(side) if form == "ndarray" else tensor(side) for side in (said, row)]
    (found,) = metrics(stored(ONE_HOT, ("feedback", dict(zip(("truth", "response"), bodies, strict=True)))))
    assert found["correct"] == int(np.argmax(row) == np.argmax(said))
    assert found["predicted_label"] == f"CLASS_{np.argmax(row)}"


def tensor(values: list[float]) -> dict[str, Any]:
    return {"data": {"tensor": {"shape": [len(values)], "values": values}}}


def test_a_batch_stays_a_batch() -> None:
    """Nested rows are rows; a flat truth of class indexes beside them is one index a row."""
    rows = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]
    store = stored(ONE_HOT, ("response", ndarray(rows)), ("feedback", {"truth": [0, 1, 1]}))
    assert [found["correct"] for found in metrics(store)] == [1, 1, 0]


def test_scorers_of_users_say_what_they_expect() -> None:
    """By an attribute of the class; whatever else they have there is not run."""
    here = f"{__name__}."
    (found,) = metrics(stored(f"{here}OfRows", ("feedback", {"truth": TRUTH, "response": [1, 2, 3]})))
    assert (found["columns"], found["truths"]) == (3, 3)
    assert Chooser(f"{here}OfRows").flat_of("", "", "", "") is Flat.ROW
    assert Chooser(f"{here}Raising").flat_of("", "", "", "") is Flat.BATCH
    assert Chooser("auto").flat_of("", "", "", "") is Flat.BATCH
    assert Chooser("multiclass").flat_of("", "", "", "") is Flat.BATCH


@pytest.mark.parametrize(
    "body", [ndarray([[1, 2], [3, 4]]), ndarray(["a", "b"]), ndarray([1]), ndarray([[1], [2]]), {"strData": "x"}]
)
def test_what_is_not_flat(body: dict[str, Any]) -> None:
    """Only several rows of one number each are read as one."""
    decoded = decode_message(body)
    assert read_flat(decoded, Flat.ROW) is decoded


def test_names_of_a_flat_row() -> None:
    """One for each number: they are those of the columns."""
    (item,) = read_flat(decode_message(ndarray([1, 2], names=["a", "b"])), Flat.ROW).items
    assert item.elements == {"a": 1.0, "b": 2.0}
    (item,) = read_flat(decode_message(ndarray([1, 2], names=["a"])), Flat.ROW).items
    assert item.elements is None
