"""What the items of a _bulk and the documents of an _mget mean, and which answers can't be read."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.logs import without_values
from request_logger.store.changes import StoreUnavailableError, UnreadableAnswerError
from request_logger.store.writing.bulk import BulkItem, Outcome, read_answer
from request_logger.store.writing.bulk_sender import find, get_documents, perform
from request_logger.store.writing.outcomes import paused_as, types_of
from request_logger.store.writing.rounds import Failure, NoAnswer, Ping
from request_logger.store.writing.states import Kind
from request_logger.store.writing.version_cache import Known, VersionCache
from tests.store.engine_double import Answer, EngineDouble

CREATE = BulkItem.create("i", "a", b"{}")
UPDATE = BulkItem.create_or_read("i", "a", b"{}")
STORED = {"_id": "a", "status": 201, "result": "created", "_seq_no": 3, "_primary_term": 1}
# What OpenSearch answers for an item that an ingest pipeline drops: it names no document.
DROPPED = {"index": {"_id": None, "status": 200, "result": "noop"}}


def items(*found: Any) -> Any:
    return {"items": list(found)}


def test_what_a_pipeline_drops() -> None:
    """One such item can be assigned, and is an error of the index; of several nobody knows which is whose."""
    (outcome,) = read_answer(items(DROPPED), [UPDATE])
    assert outcome.kind is Kind.UNUSABLE
    assert outcome.reason.startswith("dropped: ")
    assert [each.kind for each in read_answer(items({"create": STORED}, DROPPED), [CREATE, UPDATE])] == [
        Kind.DONE,
        Kind.UNUSABLE,
    ]
    with pytest.raises(UnreadableAnswerError, match="of which documents"):
        read_answer(items(DROPPED, DROPPED), [UPDATE, UPDATE])


def test_what_exists_is_returned() -> None:
    """Create-or-read gives the stored document and its version."""
    found = {
        "_id": "a",
        "status": 200,
        "result": "noop",
        "_seq_no": 3,
        "_primary_term": 1,
        "get": {"_source": {"b": 1}},
    }
    assert read_answer(items({"update": found}), [UPDATE]) == [Outcome(Kind.FOUND, (3, 1), {"b": 1})]


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        # As OpenSearch 3.4 with its security plugin says it.
        (
            "no permissions for [indices:admin/create] and User [name=writer, backend_roles=[], requestedTenant=null]",
            "the user lacks the privilege indices:admin/create",
        ),
        # As Elasticsearch 8 does.
        (
            "action [indices:admin/auto_create] is unauthorized for user [writer] with roles [w] on indices [i], "
            "this action is granted by the index privileges [auto_configure,create_index,manage,all]",
            "the user lacks the privilege indices:admin/auto_create, "
            "which auto_configure or create_index or manage or all grants",
        ),
        ("no", "the user may not do this"),
    ],
)
def test_a_missing_privilege_is_named(reason: str, said: str) -> None:
    """The document is sent again: nothing is wrong with it. The line has no name of a user, and survives the log."""
    item = {"_id": "a", "status": 403, "error": {"type": "security_exception", "reason": reason}}
    outcome = Outcome(Kind.LATER, reason=said, is_forbidden=True)
    assert read_answer(items({"create": item}), [CREATE]) == [outcome]
    assert paused_as(outcome) == "forbidden"
    assert without_values(said) == types_of(said) == said
    blocked = {**item, "error": {"type": "cluster_block_exception", "reason": "read-only"}}
    (outcome,) = read_answer(items({"create": blocked}), [CREATE])
    assert outcome == Outcome(Kind.LATER, reason="403: cluster_block_exception: read-only")
    assert paused_as(outcome) == "retry"


@pytest.mark.parametrize(
    ("request_", "item"),
    [
        (CREATE, None),
        (CREATE, {}),
        (CREATE, {"delete": STORED}),
        (CREATE, {"create": {**STORED, "_id": "b"}}),
        (CREATE, {"create": {"_id": "a"}}),
        (CREATE, {"create": {**STORED, "_seq_no": "3"}}),
        (CREATE, {"create": {**STORED, "_primary_term": None}}),
        (UPDATE, {"update": {**STORED, "result": "noop", "get": {"_source": "text"}}}),
        (UPDATE, {"update": {**STORED, "result": "noop", "get": None}}),
    ],
)
def test_a_broken_item(request_: BulkItem, item: Any) -> None:
    """No item is assigned to a document that it doesn't name; the error quotes nothing of the answer."""
    with pytest.raises(UnreadableAnswerError, match=r"^the engine's answer to _bulk has a broken item \(\w+\)$"):
        read_answer(items(item), [request_])


@pytest.mark.parametrize("answer", [None, [], {}, {"items": 7}, {"items": []}])
def test_another_number_of_items(answer: Any) -> None:
    with pytest.raises(UnreadableAnswerError, match="one item for each request"):
        read_answer(answer, [CREATE])


# Documents that are read


def got(*docs: Any) -> EngineDouble:
    """An engine with two indices of the name ``i``, which answers a get with ``docs``."""

    def answer(path: str, body: Any) -> Answer:
        if path == "/_mget":
            return 200, {"docs": list(docs)}
        return 200, {"i": {"aliases": {}}, "i-2026.01": {"aliases": {}}}

    return EngineDouble(answer)


THERE = {"_index": "i-2026.01", "_id": "a", "found": True, "_seq_no": 3, "_primary_term": 1, "_source": {"b": 1}}
NOT_THERE = {"_index": "i", "_id": "a", "found": False}


def test_a_document_is_found_in_any_index_of_its_name() -> None:
    """The oldest first; what no index has is None, and so is what has no index."""
    engine = got(NOT_THERE, THERE)
    assert find(engine, "i", "a") == Known(3, 1, b'{"b":1}', "i-2026.01")
    assert engine.bodies[-1] == {"docs": [{"_index": "i", "_id": "a"}, {"_index": "i-2026.01", "_id": "a"}]}
    assert find(got(NOT_THERE, NOT_THERE), "i", "a") is None
    assert find(EngineDouble(lambda path, body: (200, {})), "i", "a") is None


def test_an_index_that_cannot_answer_may_have_the_document() -> None:
    """So nothing is said of it."""
    busy = {"_index": "i", "_id": "a", "error": {"type": "circuit_breaking_exception", "reason": "x"}}
    with pytest.raises(StoreUnavailableError, match=r"^i: circuit_breaking_exception$"):
        find(got(busy, THERE), "i", "a")


@pytest.mark.parametrize("doc", [None, [], 7, {"found": True}, {**THERE, "_source": None}, {**THERE, "_seq_no": "3"}])
def test_a_get_that_cannot_be_read(doc: Any) -> None:
    with pytest.raises(UnreadableAnswerError, match=r"^the engine's answer to _mget has "):
        get_documents(got(doc), [("i", "a")])


def test_a_defect_is_no_answer() -> None:
    """What sends a request raises anything: the round is retried, and no thread ends."""

    class Broken:
        def ping(self) -> bool:
            raise ZeroDivisionError("details that may quote a document")

    engine: Any = Broken()
    assert perform(engine, Ping(0.0)) == NoAnswer(Failure.UNREADABLE, "internal error: ZeroDivisionError")


# Documents that are remembered


def test_the_least_recently_used_leaves_the_cache_first() -> None:
    """Sources count, not documents; a newer version takes the place of an older one."""
    cache = VersionCache(30)
    known = {id: Known(number, 1, 10 * b"x", "i") for number, id in enumerate("abcd")}
    for id in "abc":
        cache.put("i", id, known[id])
    assert cache.get("i", "a") is known["a"]
    cache.put("i", "d", known["d"])
    assert [id for id in "abcd" if cache.get("i", id) is not None] == ["a", "c", "d"]
    cache.put("i", "a", Known(9, 1, 30 * b"x", "i"))
    assert [id for id in "abcd" if cache.get("i", id) is not None] == ["a"]
    cache.put("i", "a", Known(10, 1, 31 * b"x", "i"))
    assert cache.get("i", "a") is None
