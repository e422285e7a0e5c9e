"""The audit: a stable share of the predictions, chosen once, whatever feedback does."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from request_logger.documents.audit import AUDIT, is_audited, with_audit
from request_logger.documents.document import degrade
from request_logger.documents.folds import FOLDS, fold_of
from request_logger.ingest.sampling import is_kept
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.settings import Settings, SettingsError
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

IDS = [f"request-{k}" for k in range(20_000)]


def document(id: str, **more: Any) -> dict[str, Any]:
    return {"RequestId": id, "request": {}, **more}


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.5])
def test_the_share(rate: float) -> None:
    """Within four standard errors; a higher rate only adds predictions."""
    chosen = [is_audited(id, rate) for id in IDS]
    assert abs(np.mean(chosen) - rate) < 4 * (rate * (1 - rate) / len(IDS)) ** 0.5
    more = [is_audited(id, rate + 0.1) for id in IDS]
    assert all(after for before, after in zip(chosen, more, strict=True) if before)
    assert not any(is_audited(id, 0) for id in IDS)
    assert all(is_audited(id, 1) for id in [*IDS, "\ud800"])


def test_it_is_independent_of_the_sample_and_the_folds() -> None:
    """Or the audit of a sample would be empty or everything."""
    kept = [id for id in IDS if is_kept(id, 0.1)]
    assert 0.06 < np.mean([is_audited(id, 0.1) for id in kept]) < 0.14
    counts = np.bincount([fold_of(id) for id in IDS if is_audited(id, 0.1)], minlength=FOLDS)
    assert counts.min() > 60


def test_it_is_decided_once() -> None:
    """A later rate, or later feedback, changes neither way."""
    inside = next(id for id in IDS if is_audited(id, 0.1))
    outside = next(id for id in IDS if not is_audited(id, 0.5))
    for id, found in ((inside, True), (outside, False)):
        stored = with_audit(document(id), 0.1)
        assert stored[AUDIT] is found
        for rate in (0.0, 0.01, 1.0):
            assert with_audit({**stored, "feedback": {}}, rate)[AUDIT] is found


@pytest.mark.parametrize(
    "made", [{"RequestId": "r", "drift": {}}, {"request": {}}, {"RequestId": 7, "request": {}}, {"RequestId": "r"}]
)
def test_what_is_no_prediction(made: dict[str, Any]) -> None:
    assert with_audit(made, 1.0) is made


def test_without_a_rate_nothing_is_stored() -> None:
    made = document("r")
    assert with_audit(made, 0.0) is made
    assert AUDIT not in settler(Chooser("auto", None))(made)


@pytest.mark.parametrize(
    "reason",
    [
        "mapper_parsing_exception: failed to parse field [audit] of type [date]",
        "strict_dynamic_mapping_exception: mapping set to strict, dynamic introduction of [audit] within [_doc] is not"
        " allowed",
    ],
)
def test_an_index_that_refuses_the_field(reason: str) -> None:
    """It gets the document without it, and everything else of it."""
    made = document("r1", audit=True, fold=3, metrics={"correct": 1})
    assert degrade(made, [reason]) == {name: value for name, value in made.items() if name != AUDIT}


@pytest.mark.parametrize("rate", ["-0.1", "1.5", "nan", "x"])
def test_an_invalid_rate(rate: str) -> None:
    with pytest.raises(SettingsError, match=r"^AUDIT_RATE: [^\n]*$"):
        Settings.from_env({"AUDIT_RATE": rate})


@pytest.mark.engine
def test_over_http(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """In any order of the parts, also delivered twice: one field of the document, the same for all rows of a batch."""
    server = make_server(AUDIT_RATE="0.5", GUNICORN_WORKERS="1")
    sender = Sender(server.url)
    parts = {
        "request": ndarray([[1.0], [2.0]]),
        "response": ndarray([[0.2, 0.8], [0.9, 0.1]]),
        "feedback": b'{"truth": {"data": {"ndarray": [1, 0]}}}',
    }
    ids = [f"audit-{k}" for k in range(6)]
    for id, order in zip(ids, itertools.permutations(parts), strict=True):
        for part in (*order, order[0]):
            assert sender.send(event(part, id, deployment), parts[part]) == (200, b"")
    sender.close()
    found = list(index.documents(index_of(deployment)).values())
    assert len(found) == 2 * len(ids)
    assert all(content[AUDIT] is is_audited(content["RequestId"], 0.5) for content in found)
    assert {content[AUDIT] for content in found} == {True, False}
    server.stop()
