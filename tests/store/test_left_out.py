"""Which failures leave an index out, and how the rest is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import Scope
from request_logger.common.json import loads
from request_logger.metrics_server.exporter import Exporter
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.excluded_indices import ExcludedIndices, left_out_note
from tests.store.engine_double import Answer, EngineDouble, answers_by_start

TEXT = {"type": "illegal_argument_exception", "reason": "Text fields are not optimised"}
BUSY = {"type": "es_rejected_execution_exception", "reason": "queue full"}
NOWHERE = {"type": "no_shard_available_action_exception", "reason": None}
PAUSES = 3
HITS = {"hits": {"hits": [], "total": {"value": 0}}}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("request_logger.store.excluded_indices._PAUSES", (0.0,) * PAUSES)


def partial(*failures: tuple[str, Any], total: int = 3) -> dict[str, Any]:
    shards = {"total": total, "successful": total - max(len(failures), 1), "failed": len(failures)}
    return {**HITS, "_shards": {**shards, "failures": [{"index": index, "reason": cause} for index, cause in failures]}}


@pytest.mark.parametrize(
    ("indices", "narrowed"),
    [
        ("a-*", "a-*,-a-1,-a-2"),
        ("x,a-*,a-1", "a-*,x,-a-1,-a-2"),
        ("a-1,a-3", "a-3"),
        ("a-1", "request-logger-no-index-*"),
    ],
)
def test_how_the_rest_is_asked_for(indices: str, narrowed: str) -> None:
    """Globs come first: only after them an engine takes an exclusion. Nothing left is nothing, not everything."""
    left_out = ExcludedIndices(answers_by_start({}))
    assert left_out.narrowed(indices) == indices
    assert left_out.learn(indices, 200, partial(("a-1", TEXT), ("a-2", TEXT)))
    assert left_out.narrowed(indices) == narrowed
    assert left_out.as_json()[0] == {"index": "a-1", "reason": f"{TEXT['type']}: {TEXT['reason']}"}


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, partial(("a-1", BUSY), ("a-2", TEXT))),
        (200, partial(("a-1", {**TEXT, "caused_by": {"type": "circuit_breaking_exception", "reason": "x"}}))),
        (200, {**partial(("a-1", TEXT)), "timed_out": True}),
        (200, partial(("far:a-1", TEXT))),
        (400, {"error": {"failed_shards": [{"index": "a-1", "reason": {"type": "parse_exception", "reason": "x"}}]}}),
        (404, {"error": {"type": "index_not_found_exception", "reason": "x"}}),
        (429, {"error": BUSY}),
        (502, "<html>"),
        (200, None),
    ],
)
def test_what_leaves_nothing_out(status: int, answer: Any) -> None:
    """What passes by itself, what no index would understand, and what is no answer."""
    left_out = ExcludedIndices(answers_by_start({}))
    assert not left_out.learn("a-*", status, answer)
    assert left_out.reasons == {}


@pytest.mark.parametrize("named", [False, True], ids=["without a word", "named"])
def test_a_shard_that_is_nowhere(named: bool) -> None:
    """It is waited for at first. Then the report goes without its index, while counters must not fall."""
    answer = partial(("a-1", NOWHERE)) if named else partial()
    counts = {"status": "red", "number_of_shards": 1, "active_primary_shards": 0}
    whole = {"status": "green", "number_of_shards": 2, "active_primary_shards": 2}
    engine = answers_by_start({"/_cluster/health": {"indices": {"a-1": counts, "a-2": whole}}})
    left_out, counters = ExcludedIndices(engine), ExcludedIndices(engine, without_shards=False)
    for _ in range(PAUSES):
        assert left_out.learn("a-*", 200, answer)
        assert left_out.reasons == {}
        assert counters.learn("a-*", 200, answer)
    assert left_out.learn("a-*", 200, answer)
    assert left_out.reasons == {"a-1": "a shard of it is on no node"}
    assert not counters.learn("a-*", 200, answer)
    # One that is being made has no documents that could be missed.
    counts["status"] = "yellow"
    assert counters.learn("a-*", 200, answer)


def test_a_shard_that_starts_after_the_last_pause() -> None:
    """Between the search that lacks it and the question which index lacks one: the search is repeated, and is whole."""
    asked = []

    def answer(path: str, body: Any) -> Answer:
        if path.startswith("/_cluster/health"):
            return 200, {"indices": {"a-1": {"status": "green", "number_of_shards": 1, "active_primary_shards": 1}}}
        asked.append(path)
        if len(asked) <= PAUSES + 1:
            return 503, {"error": {"type": "search_phase_execution_exception", "failed_shards": []}, "status": 503}
        return 200, {"hits": {"hits": [], "total": {"value": 5}}, "_shards": {"total": 1, "successful": 1, "failed": 0}}

    runner = QueryRunner(EngineDouble(answer))
    assert runner.count(Scope("a-*")) == 5
    assert (len(asked), runner.left_out.reasons) == (PAUSES + 2, {})
    # The search engine may say no state at all: then nothing is known of the shard.
    nothing = ExcludedIndices(answers_by_start({"/_cluster/health": {}}))
    assert [nothing.learn("a-*", 200, partial()) for _ in range(PAUSES + 1)] == [*[True] * PAUSES, False]


def test_a_search_that_lacks_shards_which_have_all_started_ends() -> None:
    whole = {"indices": {"a-1": {"status": "green", "number_of_shards": 1, "active_primary_shards": 1}}}
    excluded = ExcludedIndices(answers_by_start({"/_cluster/health": whole}))
    learnt = [excluded.learn("a-*", 503, {"error": {"type": "search_phase_execution_exception"}}) for _ in range(9)]
    assert learnt == [*[True] * (PAUSES + 1), *[False] * (9 - PAUSES - 1)]


def test_types_that_differ() -> None:
    """Where an engine only says that answers can't be put together, the types of the fields tell the index."""
    caps = {"keyword": {"indices": ["a-1", "a-2"]}, "long": {"indices": ["a-3"]}}
    of_numbers = {"double": {"indices": ["a-1", "a-2"]}, "keyword": {"indices": ["a-4"]}}
    engine = answers_by_start({"/a-*/_field_caps": {"fields": {"metrics.scorer": caps, "metrics.my_sum": of_numbers}}})
    left_out = ExcludedIndices(engine)
    error = {"type": "search_phase_execution_exception", "root_cause": [], "caused_by": {"type": "class_cast"}}
    assert left_out.learn("a-*", 500, {"error": error})
    assert left_out.reasons == {
        "a-3": "metrics.scorer is number, expected keyword",
        "a-4": "metrics.my_sum is keyword, expected number",
    }
    assert not left_out.learn("a-*", 500, {"error": error})


def test_an_alias_is_resolved_to_its_indices() -> None:
    """No index can be left out of an alias, so its others are asked by their names; that is tried once."""
    engine = answers_by_start({"/an-alias/_settings": {"a-2": {}, "a-1": {}, "a-3": {}}})
    left_out = ExcludedIndices(engine)
    assert left_out.learn("an-alias", 200, partial(("a-1", TEXT)))
    assert left_out.narrowed("an-alias") == "an-alias"
    # The same failure again: leaving it out by name had no effect.
    assert left_out.learn("an-alias", 200, partial(("a-1", TEXT)))
    assert left_out.narrowed("an-alias") == "a-2,a-3"
    assert not left_out.learn("an-alias", 200, partial(("a-1", TEXT)))
    assert engine.paths == ["/an-alias/_settings"]


@pytest.mark.parametrize("answer", [(503, {}), (200, "<html>")])
def test_an_alias_that_cannot_be_resolved(answer: Answer) -> None:
    """Then the search fails, with its own reason."""
    left_out = ExcludedIndices(EngineDouble(lambda path, body: answer))
    assert left_out.learn("an-alias", 200, partial(("a-1", TEXT)))
    assert not left_out.learn("an-alias", 200, partial(("a-1", TEXT)))


def test_closed_indices_are_reported() -> None:
    """Engines skip them without a word."""
    closed = {"settings": {"index": {"verified_before_close": "true"}}}
    is_open = {"settings": {"index": {"verified_before_close": "false"}}}
    left_out = ExcludedIndices(answers_by_start({"/a-*/_settings": {"a-1": closed, "a-2": is_open, "a-3": {}}}))
    left_out.note_closed("a-*")
    assert left_out.as_json() == [{"index": "a-1", "reason": "closed"}]
    assert left_out.narrowed("a-*") == "a-*"


@pytest.mark.parametrize(
    "fields",
    [
        None,
        [],
        {"reward": {"keyword": {"indices": ["a-1"]}}},
        {"reward": ["keyword", "long"]},
        {"reward": {"unmapped": {"indices": ["a-1"]}, "object": {"indices": ["a-2"]}, "long": {"indices": "a-3"}}},
    ],
)
def test_types_that_say_nothing(fields: Any) -> None:
    """One type, none, or a list that names no index: nothing is left out."""
    left_out = ExcludedIndices(answers_by_start({"/a-*/_field_caps": {"fields": fields}}))
    error = {"type": "search_phase_execution_exception", "root_cause": []}
    assert not left_out.learn("a-*", 500, {"error": error})


def test_the_type_that_a_user_expects() -> None:
    """Of a field of their own choice they may say the type; else that of most indices counts."""
    kinds = {"long": {"indices": ["a-1"]}, "keyword": {"indices": ["a-2", "a-3"]}}
    error = {"type": "search_phase_execution_exception", "root_cause": []}
    for family, expected in ((None, ["a-1"]), ("number", ["a-2", "a-3"])):
        left_out = ExcludedIndices(answers_by_start({"/a-*/_field_caps": {"fields": {"mine": kinds}}}))
        left_out.watch("mine", family)
        assert left_out.learn("a-*", 500, {"error": error})
        assert sorted(left_out.reasons) == expected


def test_more_names_than_a_path_has_room_for() -> None:
    """Then the names go into the body of the search."""
    names = [f"inference-log-seldon-somewhere-model-{number}-default" for number in range(200)]
    engine = answers_by_start({"/_msearch": {"responses": [{**HITS, "status": 200}]}})
    runner = QueryRunner(engine)
    assert runner.left_out.learn("inference-log-*", 200, partial(*((name, TEXT) for name in names), total=500))
    assert runner.count(Scope("inference-log-*")) == 0
    assert engine.paths == ["/_msearch"]
    assert left_out_note(runner.left_out.as_json()).endswith("; and 195 more indices.")


def counting(failure: Any) -> EngineDouble:
    """Make an engine with one index of which the scorer is no keyword."""

    def answer(path: str, body: Any) -> Answer:
        if path != "/_msearch":
            return 404, {}
        lines = [loads(line) for line in body.splitlines()]
        if "-bad" not in lines[0]["index"]:
            return 200, {"responses": [partial(("bad", failure))] * (len(lines) // 2)}
        right = {**HITS, "aggregations": {"series": {"buckets": []}}, "_shards": {"total": 1, "successful": 1}}
        return 200, {"responses": [right] * (len(lines) // 2)}

    return EngineDouble(answer)


def test_counters_without_an_index(caplog: pytest.LogCaptureFixture) -> None:
    """The exposition names it in a comment at its end, which Prometheus does not read; the log names it once."""
    engine = counting(TEXT)
    exporter = Exporter(engine, Settings(metrics_cache_seconds=0))
    for _ in range(2):
        said = exporter.exposition().decode()
        assert said == f"# left out: bad: {TEXT['type']}: {TEXT['reason']}\n"
    searches = [body for path, body in zip(engine.paths, engine.bodies, strict=True) if path == "/_msearch"]
    assert len(searches) == 4
    assert loads(searches[1].splitlines()[0])["index"].endswith(",-bad")
    assert [record.getMessage().count("bad") for record in caplog.records] == [1]


def test_counters_do_not_fall() -> None:
    """While an index is busy there is no answer at all."""
    with pytest.raises(StoreUnavailableError, match="the search engine can't answer: index bad: "):
        Exporter(counting(BUSY), Settings()).exposition()
