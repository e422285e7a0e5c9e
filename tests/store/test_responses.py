"""One reader for each answer of the engine: the value, its refusal, or "unavailable", whatever comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.responses import (
    Refusal,
    is_healthy,
    read_acknowledgement,
    read_aliases,
    read_mappings,
    read_search,
    read_settings,
    read_templates,
)
from tests.store import garbage

INDEX = "inference-log-x"
MARKER = "a-marker-of-the-answer"


def error(kind: str, status: int, reason: str = "because") -> dict[str, Any]:
    """An error as engines give it."""
    cause = {"type": kind, "reason": reason}
    return {"error": {"root_cause": [cause], **cause}, "status": status}


Read = Callable[[int, Any], Any]
READERS: dict[str, tuple[Read, list[Any]]] = {
    "mappings": (read_mappings, garbage.mappings(INDEX)),
    "settings": (lambda status, answer: read_settings(status, answer, INDEX), garbage.settings(INDEX)),
    "templates": (read_templates, garbage.templates()),
    "aliases": (read_aliases, garbage.aliases(INDEX)),
    "searches": (read_search, garbage.searches()),
    "changes": (lambda status, answer: read_acknowledgement(status, answer, "x"), garbage.acknowledgements()),
}  # fmt: skip
readers = pytest.mark.parametrize("name", READERS)


@readers
def test_what_no_engine_answers_is_unavailable(name: str) -> None:
    """Pages, other JSON, missing keys, wrong types: with a good status, and with one of an error."""
    read, answers = READERS[name]
    for answer in answers:
        with pytest.raises(StoreUnavailableError):
            read(200, answer)
    for answer in garbage.PAGES:
        for status in (204, 301, 302, 400, 401, 404, 405, 429, 500, 502, 503):
            with pytest.raises(StoreUnavailableError, match=f"^the engine answered {status} to "):
                read(status, answer)


@readers
@pytest.mark.parametrize("status", [401, 408, 429, 500, 503])
def test_an_error_that_passes_is_unavailable(name: str, status: int) -> None:
    """The reason that the engine gives is said."""
    with pytest.raises(StoreUnavailableError, match=r"circuit_breaking_exception: because$"):
        READERS[name][0](status, error("circuit_breaking_exception", status))


@readers
@pytest.mark.parametrize(
    ("status", "answer", "kind"),
    [
        (403, error("security_exception", 403), "security_exception"),
        (400, error("illegal_argument_exception", 400), "illegal_argument_exception"),
        (405, {"error": "Incorrect HTTP method", "status": 405}, ""),
        (403, {"Message": "User: anonymous is not authorized to perform: es:ESHttpGet"}, ""),
        (403, error("cluster_block_exception", 403), "cluster_block_exception"),
        (429, error("cluster_block_exception", 429), "cluster_block_exception"),
    ],
)
def test_a_refusal(name: str, status: int, answer: Any, kind: str) -> None:
    """What stays until somebody changes something; a block can be of status 429."""
    refusal = READERS[name][0](status, answer)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.kind) == (status, kind)
    assert refusal.is_blocked == (kind == "cluster_block_exception")


def test_what_is_not_there() -> None:
    missing = error("index_not_found_exception", 404)
    assert read_mappings(404, missing) == {}
    assert read_mappings(200, {}) == {}
    assert read_aliases(404, missing) == {}
    assert read_aliases(200, {}) == {}
    assert read_templates(404, error("resource_not_found_exception", 404)) == []
    assert isinstance(read_settings(404, missing, INDEX), Refusal)
    with pytest.raises(StoreUnavailableError):
        read_mappings(404, {"error": "no such path", "status": 404})
    assert isinstance(read_templates(400, {"error": "no handler found for uri [/_index_template/x]"}), Refusal)


def test_values() -> None:
    """As engines give them."""
    mapping = {"properties": {"type": {"type": "keyword", "fields": {"raw": {"type": "keyword"}}}}}
    assert read_mappings(200, {"a": {"mappings": mapping}, "b": {"mappings": {}}}) == {"a": mapping, "b": {}}
    assert read_settings(200, {INDEX: {"settings": {"index.x": "1"}}}, INDEX) == {"index.x": "1"}
    assert read_aliases(200, {"a": {"aliases": {"x": {}, "y": {"is_write_index": True}}}}) == {"a": {"x", "y"}}
    template = {"index_patterns": ["a*"], "version": 3, "template": {"settings": {"index": {"refresh_interval": "1s"}}}}
    least = {"index_patterns": ["b*"]}
    entries = [{"name": "t", "index_template": each} for each in (template, least)]
    assert read_templates(200, {"index_templates": entries}) == [template, least]
    assert read_acknowledgement(200, {"acknowledged": True, "index": INDEX}, "creating an index") is None
    assert read_acknowledgement(201, {"acknowledged": True}, "creating an index") is None


@readers
def test_no_error_quotes_a_page(name: str) -> None:
    """What an answer that can't be read says is left out."""
    for answer in (MARKER, [MARKER], {MARKER: MARKER}, {MARKER: {MARKER: MARKER}}):
        for status in (200, 502):
            with pytest.raises(StoreUnavailableError) as caught:
                READERS[name][0](status, answer)
            assert MARKER not in str(caught.value)


def test_health() -> None:
    """An engine that may not be asked for it, or is busy, answers; a page does not."""
    assert is_healthy(200, {"status": "green"})
    assert is_healthy(200, {"status": "red"})
    assert is_healthy(403, error("security_exception", 403))
    assert is_healthy(429, error("circuit_breaking_exception", 429))
    assert is_healthy(410, error("api_not_available_exception", 410))
    assert is_healthy(403, {"Message": "User: anonymous is not authorized to perform: es:ESHttpGet"})
    assert not is_healthy(404, {"error": "no such path", "status": 404})
    assert not is_healthy(404, {"message": "no Route matched"})
    assert not is_healthy(401, error("security_exception", 401))
    assert not is_healthy(503, error("cluster_block_exception", 503))
    for answer in garbage.health():
        for status in (200, 204, 302, 404, 500):
            assert not is_healthy(status, answer)
