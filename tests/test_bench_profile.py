"""`python -m bench.profile`: what it measures is stored as by the logger, and its stages add up."""

from __future__ import annotations

import orjson
import pytest

from bench import first, lanes, profile
from bench.engines import Client
from bench.inline import Inline
from bench.memory_engine import Documents, memory_engine


def items(documents: Documents, *lines: object) -> list[tuple[int, dict]]:
    """Return the status and the result of each item of a _bulk."""
    body = b"".join(line + b"\n" if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines)
    answer = orjson.loads(documents.bulk(body))
    return [(result["status"], result) for item in answer["items"] for result in item.values()]


def test_the_engine_in_memory_keeps_versions() -> None:
    """A create of a known document, and a write from an outdated version, are conflicts; an update reads."""
    documents = Documents()
    here = {"_index": "a", "_id": "1"}
    ((created, first),) = items(documents, {"create": here}, b'{"x":1}')
    conditional = {**here, "if_seq_no": first["_seq_no"], "if_primary_term": 1}
    assert created == 200
    assert items(documents, {"create": here}, b'{"x":2}')[0][0] == 409
    ((_, found),) = items(documents, {"update": here}, b'{"doc":{},"_source":true,"upsert":{"x":3}}')
    assert found["get"]["_source"] == {"x": 1}
    assert items(documents, {"index": conditional}, b'{"x":4}')[0][0] == 200
    assert items(documents, {"index": conditional}, b'{"x":5}')[0][0] == 409
    assert orjson.loads(documents.get(here))["_source"] == {"x": 4}
    ((_, created),) = items(documents, {"update": {**here, "_id": "2"}}, b'{"doc":{},"_source":true,"upsert":{"x":6}}')
    assert orjson.loads(documents.get({**here, "_id": "2"}))["_source"] == {"x": 6}
    assert documents.digest()["documents"] == 2


def test_the_hash_depends_on_values_and_on_the_order_of_fields() -> None:
    """Two engines with the same documents have the same hash, whenever they were scored."""

    def hash_of(source: bytes) -> str:
        documents = Documents()
        items(documents, {"index": {"_index": "a", "_id": "1"}}, source)
        return documents.digest()["sha256"]

    scored = hash_of(b'{"a":1,"metrics":{"scored_at":"2026-01-01"}}')
    assert scored == hash_of(b'{"a":1,"metrics":{"scored_at":"2027-01-01"}}')
    assert len({scored, hash_of(b'{"a":1.0,"metrics":{"scored_at":""}}'), hash_of(b'{"metrics":{},"a":1}')}) == 3


@pytest.mark.parametrize("lane", list(lanes.LANES))
def test_each_lane_stores_and_scores(lane: str) -> None:
    """All events of a lane are in the engine as one scored document per prediction; the stages have all of the time."""
    predictions = 20
    with memory_engine() as url:
        logger = Inline(url)
        request, _ = lanes.request_bodies()["small"]
        work = lanes.LANES[lane](logger, lanes.events_of(request, predictions, "a", whole=True))
        stages = profile.Stages()
        with profile.timers(stages, logger):
            stages.start()
            work()
            stages.enter("other")
        found = Client(url).ask("POST", "/_mget", {"docs": [{"_index": _INDEX, "_id": f"a-{n}"} for n in range(20)]})
        documents = [entry["_source"] for entry in found["docs"]]
        assert Client(url).ask("GET", "/_digest")["documents"] == predictions
    assert all(document["metrics"]["scorer"] == "multiclass" for document in documents)
    assert [document["feedback"]["truth"] for document in documents] == [
        first.bodies(number)["feedback"]["truth"] for number in range(predictions)
    ]
    used = {stage for stage, seconds in stages.seconds.items() if seconds > 0}
    # Batches and structured events are read within the stage `envelope`.
    assert used >= set(profile.STAGES) - {"read"}


_INDEX = "inference-log-seldon-bench-a-default"


def test_stages_are_exclusive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of a stage within another is not part of the outer one; an error ends the stage."""
    clock = iter(range(0, 10**12, 10**9))
    monkeypatch.setattr(profile.time, "thread_time_ns", lambda: next(clock))
    stages = profile.Stages()
    stages.start()

    def fail() -> None:
        raise ValueError

    inner = stages.timed("scoring", fail)

    def outer() -> None:
        with pytest.raises(ValueError):
            inner()

    stages.timed("plan", outer)()
    stages.enter("other")
    assert {name: seconds for name, seconds in stages.seconds.items() if seconds} == {
        "other": 2.0,
        "plan": 2.0,
        "scoring": 1.0,
    }
