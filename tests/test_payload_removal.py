"""Documents without their payloads: what stays, and what later events do to them. Pure functions."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from request_logger.documents.document import degrade, join
from request_logger.documents.event import Body, from_headers
from request_logger.documents.kept_fields import REMOVED
from request_logger.documents.parts import Part, parts_of
from request_logger.documents.payload_removal import without_payloads
from request_logger.ingest.write_plan import merging
from request_logger.scoring.reasons import PairReason
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.settings import Settings
from tests.helpers import event, ndarray

AT = "2026-02-01T00:00:00.000Z"
SETTLE = settler(Chooser("auto", None))
SECRET = "a-name"
TRUTH = {"truth": {"data": {"ndarray": [[0, 1]]}}}


def part(name: str, body: bytes, **headers: str) -> Part:
    """The part of an event of one row."""
    sent = {key.lower(): value for key, value in event(name, "r", "iris", **headers).items()}
    return parts_of(from_headers(sent, Body(body, "application/json", len(body)), Settings()))[0]


REQUEST = part("request", ndarray([[SECRET, 3]], ["name", "age"]))
RESPONSE = part("response", ndarray([[0.2, 0.8]], ["no", "yes"]))
FEEDBACK = part("feedback", json.dumps({**TRUTH, "request": json.loads(ndarray([[SECRET, 3]]))}).encode())


def joined(*parts: Part, into: Any = None) -> Any:
    """The document of some parts."""
    for each in parts:
        document = join(into, each)
        into = document if document is into else SETTLE(document)
    return into


def test_metrics_stay_and_content_goes() -> None:
    """Ids, times, types, truth, metrics and prediction stay."""
    whole = joined(REQUEST, RESPONSE, FEEDBACK)
    bare = without_payloads(whole, AT)
    assert SECRET in json.dumps(whole) and SECRET not in json.dumps(bare)
    assert bare[REMOVED] == AT
    for name in ("metrics", "prediction", "@timestamp", "RequestId", "fold", "Ce-Inferenceservicename"):
        assert bare[name] == whole[name]
    assert not {"payload", "instance", "elements"} & {*bare["request"], *bare["response"], *bare["feedback"]}
    assert bare["feedback"]["truth"] == TRUTH["truth"]
    assert without_payloads(bare, "later") is bare
    assert SETTLE(bare) == bare


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_duplicates_change_nothing(order: tuple[int, ...]) -> None:
    """Duplicates of any part, in any order, restore no payload and remove no metric."""
    bare = without_payloads(joined(REQUEST, RESPONSE, FEEDBACK), AT)
    assert joined(*((REQUEST, RESPONSE, FEEDBACK)[position] for position in order), into=bare) == bare


def test_late_feedback_stays_with_a_reason() -> None:
    """It can't be scored; another truth makes the metrics of the first invalid; evaluations need no response."""
    late = joined(FEEDBACK, into=without_payloads(joined(REQUEST, RESPONSE), AT))
    assert late["metrics"]["unscorable"] == PairReason.PAYLOAD_REMOVED
    assert late["feedback"]["truth"] == TRUTH["truth"]
    assert SECRET not in json.dumps(late)
    scored = without_payloads(joined(REQUEST, RESPONSE, FEEDBACK), AT)
    corrected = part("feedback", b'{"truth": {"data": {"ndarray": [[1, 0]]}}}', Ce_Time="2026-03-01T00:00:00Z")
    assert joined(corrected, into=scored)["metrics"]["unscorable"] == PairReason.PAYLOAD_REMOVED
    rating = part("feedback", b'{"evaluations": [{"name": "helpful", "value": 1}]}', Ce_Time="2026-03-02T00:00:00Z")
    before = {**scored["metrics"], "scored_at": AT}
    rated = joined(rating, into={**scored, "metrics": before})["metrics"]
    assert rated["evaluated"] == ["helpful"]
    assert rated.keys() - before.keys() == {"evaluated", "evaluations", "evaluation_labels"}
    assert {name for name in before if rated[name] != before[name]} == {"scored_at"}


def test_a_document_in_a_refused_form_and_one_of_several_nodes() -> None:
    """Text that is not indexed is content, too."""
    whole = joined(REQUEST, RESPONSE, FEEDBACK)
    refused = degrade(whole, ["no field is named"] * 6)
    assert refused is not None and SECRET in json.dumps(refused)
    assert SECRET not in json.dumps(without_payloads(refused, AT))
    nodes = joined(REQUEST, part("request", ndarray([[SECRET, 4]]), Ce_Modelid="another"), RESPONSE)
    assert "nodes" in nodes
    assert SECRET not in json.dumps(without_payloads(nodes, AT))
    strange = {"request": "text", "nodes": {"a": 1, "b": {"request": None}}, "feedback": [1]}
    assert without_payloads(strange, AT)["request"] == {}


def test_two_copies_of_which_one_has_no_payload() -> None:
    """Either way the result has none, and the metrics that were made before."""
    bare = without_payloads(joined(REQUEST, RESPONSE, FEEDBACK), AT)
    merge = merging(SETTLE)
    for other in (joined(REQUEST), joined(REQUEST, RESPONSE, FEEDBACK)):
        assert merge(bare, other) == bare
        assert merge(other, bare) == bare


def test_the_truths_of_other_rows_go_with_an_erased_row() -> None:
    """Only from a feedback that has those of several rows."""
    document = {"feedback": {"truth": [1, 0], "items": 2, "item": 0, "reward": 1}, "metrics": {"correct": 1}}
    bare = without_payloads(document, AT, of_batch=True)
    assert bare["feedback"] == {"items": 2, "item": 0, "reward": 1}
    removed = without_payloads(document, AT)
    assert without_payloads(removed, "later") is removed
    assert without_payloads(removed, "later", of_batch=True) == bare
    assert without_payloads(bare, "later", of_batch=True) is bare
    nodes = {"nodes": {"a": {"feedback": removed["feedback"]}, "b": 1}, REMOVED: AT}
    assert without_payloads(nodes, "later", of_batch=True)["nodes"]["a"] == {"feedback": bare["feedback"]}
    own = {"feedback": {"truth": [1], "items": 2, "item": 1, "body_item": 0}}
    assert without_payloads(own, AT, of_batch=True)["feedback"]["truth"] == [1]
