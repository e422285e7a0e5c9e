"""Of two versions of a part the later one stays: by ce-time, else by arrival, whatever the order of delivery."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from request_logger.documents.document import degrade, join
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import RECEIVED, Part, parts_of
from request_logger.ingest.write_plan import merging, parts_in
from request_logger.kafka.binding import event_of
from request_logger.kafka.record import Record
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import settler
from request_logger.settings import Settings
from request_logger.spool.record import from_bytes, to_bytes
from tests.helpers import DATA
from tests.model import in_order

TYPES = {"request": "inference.request", "response": "inference.response", "outlier": "inference.outlier"}
SETTLE = settler(Chooser())
NOON = "2026-01-01T12:00:{:02}.000Z"


def version(
    part: str, value: int, arrival: int, time: str = "", node: str = "", rows: int = 1, trace: str = ""
) -> Event:
    """An event whose body tells the versions apart; ``arrival`` is in seconds after noon."""
    body = json.dumps(
        {"truth": value, "reward": 1}
        if part == "feedback"
        else {"data": {"is_outlier": [value] * rows}}
        if part == "outlier"
        else {"data": {"ndarray": [[value, row] for row in range(rows)]}}
    ).encode()
    headers = {"ce-type": f"io.seldon.serving.{TYPES.get(part, part)}", "ce-requestid": "r1"}
    headers["ce-inferenceservicename"] = "d"
    headers |= {"ce-time": time} if time else {}
    headers |= {"ce-modelid": node} if node else {}
    headers |= {"ce-traceparent": trace} if trace else {}
    event = from_headers(headers, Body(body, "application/json", len(body)), Settings())
    return replace(event, timestamp=NOON.format(arrival)) if not time or time == "tomorrow" else event


def only(sent: Sequence[Event]) -> dict[str, Any]:
    (document,) = in_order(sent).values()
    return document


def content(document: dict[str, Any], part: str) -> Any:
    return document[part].get("truth", document[part].get("instance"))


@pytest.mark.parametrize("part", ["request", "response", "feedback"])
@pytest.mark.parametrize(("first", "second"), [("", ""), ("tomorrow", ""), ("", "tomorrow"), ("tomorrow", "tomorrow")])
@pytest.mark.parametrize("others", [(), ("request",), ("response",), ("feedback",), ("request", "response")])
def test_the_later_arrival_stays(part: str, first: str, second: str, others: tuple[str, ...]) -> None:
    """A version that waited in the spool of another replica does not win over a newer one."""
    older, newer = version(part, 1, 1, first), version(part, 2, 2, second)
    beside = [version(other, 7, 3) for other in others if other != part]
    wanted = only([older, newer, *beside])
    for order in itertools.permutations([older, newer, *beside]):
        assert only(order) == wanted
    assert content(wanted, part) in (2, [2.0, 0.0])


@pytest.mark.parametrize(("time", "wins"), [("2026-01-01T11:59:59Z", False), ("2026-01-01T12:00:30Z", True)])
def test_a_time_against_an_arrival(time: str, wins: bool) -> None:
    """One has a ce-time, the other does not: both are times."""
    timed, untimed = version("response", 1, 0, time), version("response", 2, 5)
    for order in itertools.permutations([timed, untimed]):
        assert content(only(order), "response")[0] == (1 if wins else 2)


def test_the_arrival_is_stored_only_where_the_document_does_not_have_it() -> None:
    """@timestamp is that of the part that gives it; with a usable ce-time there is nothing to keep."""
    request, response = version("request", 1, 1), version("response", 1, 2)
    document = only([request])
    assert document["@timestamp"] == NOON.format(1)
    assert RECEIVED not in document["request"]
    for order in ([request, response], [response, request]):
        document = only(order)
        assert document["@timestamp"] == NOON.format(1)
        assert RECEIVED not in document["request"]
        assert document["response"][RECEIVED] == NOON.format(2)
    assert RECEIVED not in only([version("response", 1, 1, "2026-01-01T00:00:00Z")])["response"]


def test_the_recorded_document_without_a_time() -> None:
    """As the original's, with no field more."""
    case = json.loads((DATA / "golden" / "header_no_time.json").read_text())
    (message,) = case["events"]
    headers = {name.lower(): value for name, value in message["headers"].items()}
    body = message["body"].encode()
    event = from_headers(headers, Body(body, headers["content-type"], len(body)), Settings())
    (recorded,) = case["documents"]
    assert only([event])["request"] == recorded["source"]["request"]


def test_the_arrival_is_not_the_senders_to_say() -> None:
    """A field of that name in a body would order the versions."""
    body = json.dumps({"truth": 1, RECEIVED: "2030-01-01T00:00:00Z"}).encode()
    event = replace(version("feedback", 1, 1), body=Body(body, "application/json", len(body)))
    assert RECEIVED not in parts_of(event)[0].content
    assert content(only([version("feedback", 2, 5), event]), "feedback") == 2


@pytest.mark.parametrize("part", ["request", "response", "feedback", "outlier"])
def test_a_second_delivery_changes_nothing(part: str) -> None:
    """It arrives later, and is no later version: the first arrival stays, in whichever order they are joined."""
    first, again = version(part, 1, 1), version(part, 1, 9)
    newer = version(part, 2, 5)
    assert only([first, again]) == only([first]) == only([again, first])
    document = join(None, parts_of(first)[0])
    assert join(document, parts_of(again)[0]) is document
    assert content(only([first, newer]), part) == content(only([newer, first]), part)


def test_a_document_of_an_older_version() -> None:
    """Parts without any time are replaced, as they were then; that of @timestamp has one."""
    old: dict[str, Any] = {
        "@timestamp": NOON.format(5), "request": {"instance": 1}, "response": {"instance": 1}, "RequestId": "r1",
    }  # fmt: skip
    for part, earlier in (("request", False), ("response", True)):
        for arrival, wins in ((1, earlier), (9, True)):
            joined = join(old, parts_of(version(part, 2, arrival))[0])
            assert (joined[part]["instance"] != 1) == wins, (part, arrival)


def test_a_refused_part_keeps_its_arrival() -> None:
    """Beside the text that is not indexed, or within it."""
    document = only([version("request", 1, 1), version("response", 2, 5)])
    for reasons in (["[response.instance]"], ["no field"], ["x"] * 2):
        refused = degrade(document, reasons)
        assert refused is not None
        assert join(refused, parts_of(version("response", 1, 4))[0]) is refused
        assert join(refused, parts_of(version("response", 1, 6))[0])["response"]["instance"] == [1.0, 0.0]


def test_the_spool_keeps_the_arrival() -> None:
    """It is an attribute of the event."""
    event = version("response", 1, 3)
    again = from_bytes(to_bytes(event))
    assert again.timestamp == NOON.format(3)
    assert parts_of(again)[0].timestamp == NOON.format(3)


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize(("time", "stored"), [("", NOON.format(1)), ("tomorrow", "tomorrow")])
def test_kafka_keeps_the_time_of_the_record(structured: bool, time: str, stored: str) -> None:
    """Also where the event has one that can't be read: what is read again next week is not new."""
    kind = "io.seldon.serving.inference.request"
    if structured:
        value = json.dumps({"type": kind, "id": "r1", "data": {"strData": "x"}, **({"time": time} if time else {})})
        headers: tuple[tuple[str, bytes | None], ...] = (("content-type", b"application/cloudevents+json"),)
    else:
        value = '{"strData": "x"}'
        headers = (("ce_type", kind.encode()), ("ce_id", b"r1"), *((("ce_time", time.encode()),) if time else ()))
    record = Record("t", 0, 1, 1767268801000, None, headers, value.encode())
    event = event_of(record, Settings(), lambda event: event)
    assert event.timestamp == NOON.format(1)
    (part,) = parts_of(event)
    assert (part.timestamp, part.content["ce-time"]) == (NOON.format(1), stored)


def test_nodes_of_a_graph_are_ordered_by_arrival() -> None:
    """The top level shows the latest of each part; without times that is the one that arrived last."""
    sent = [version("request", 1, 1, node="a"), version("request", 2, 2, node="b"), version("response", 3, 3, node="a")]
    wanted = only(sent)
    for order in itertools.permutations(sent):
        assert only(order) == wanted
    assert content(wanted, "request") == [2.0, 0.0]
    assert wanted["nodes"]["a"]["request"][RECEIVED] == NOON.format(1)


def test_a_batch_without_times() -> None:
    """Rows, feedback that waits for them, and its correction: any order gives one result."""
    sent = [
        version("request", 1, 1, rows=2), version("response", 2, 2, rows=2), version("feedback", 0, 3),
        version("feedback", 1, 4), version("response", 3, 5, rows=2),
    ]  # fmt: skip
    wanted = in_order(sent)
    assert {id for _, id in wanted} == {"r1-item-0", "r1-item-1"}
    for order in itertools.permutations(sent):
        assert in_order(order) == wanted
        assert in_order([*order, *order]) == wanted


made = st.lists(
    st.tuples(
        st.sampled_from(["request", "response", "feedback"]),
        st.sampled_from(["", "tomorrow", "2026-01-01T12:00:05.5Z"]),
        st.sampled_from(["", "a", "b"]),
    ),
    min_size=1,
    max_size=7,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(made, st.randoms(use_true_random=False), st.integers(0, 6))
def test_any_versions_in_any_order(sent: list[tuple[str, str, str]], random: Any, cut: int) -> None:
    """One document whatever the order, and however they are spread over two that are merged, one way or the other."""
    # Each arrives at a distinct time, and no two have the same ce-time: of equal times the last arrival wins.
    seen: set[str] = set()
    made = []
    for number, (part, time, node) in enumerate(sent):
        own = "" if time.startswith("2026") and time in seen else time
        seen.add(own)
        made.append(version(part, number, number + 1, own, node or "c"))
    wanted = only(made)
    order = list(made)
    random.shuffle(order)
    assert only(order) == wanted
    assert only([*order, *made]) == wanted
    if 0 < cut < len(order):
        one, other = only(order[:cut]), only(order[cut:])
        merge = merging(SETTLE)
        for merged in (merge(one, other), merge(other, one)):
            assert merged is not None
            merged.get("metrics", {}).pop("scored_at", None)
            assert merged == wanted
    rebuilt: dict[str, Any] | None = None
    for part in parts_in(wanted):
        rebuilt = join(rebuilt, Part(part.name, part.content, part.node, part.header, part.timestamp))
    assert rebuilt is not None
    assert {**SETTLE(rebuilt), "metrics": None} == {**wanted, "metrics": None}


@pytest.mark.parametrize("node", ["a", "b", ""])
def test_a_document_with_one_node(node: str) -> None:
    """As another version may have stored it: a further part is with its node, and joining it again changes nothing."""
    first, second = version("request", 1, 1, node="a"), version("response", 2, 2, node=node)
    (part,) = parts_of(second)
    stored = {
        **first.header,
        "Ce-Modelid": "a",
        "@timestamp": first.timestamp,
        "request": parts_of(first)[0].content,
        "nodes": {"a": {"request": parts_of(first)[0].content}},
    }
    joined = join(stored, part)
    assert joined["response"]["instance"] == [2.0, 0.0]
    assert joined["nodes"][node or "a"]["response"]["instance"] == [2.0, 0.0]
    assert joined["nodes"]["a"]["request"]["instance"] == [1.0, 0.0]
    assert join(joined, part) is joined
