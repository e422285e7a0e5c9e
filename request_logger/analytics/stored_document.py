"""Reads one stored document by its index and id, as it is stored: with everything that REDACT left in it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.scope import OWN_PREFIX
from request_logger.common.names import MAX_ID_BYTES, is_legal_index
from request_logger.common.periods import is_of
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.ports import EngineReader


class NoDocumentError(Exception):
    """There is no such document; the text is one line."""


def stored_document(engine: EngineReader, settings: Settings, index: str, id: str) -> dict[str, Any]:
    """Return the ``_source`` of a document in one of the logger's own indices.

    Raises BadQueryError for another index, NoDocumentError, StoreUnavailableError.
    """
    if not is_legal_index(index) or not _is_own(index, settings):
        raise BadQueryError(f"index: expected the name of an index of {OWN_PREFIX}*")
    if not id or len(id.encode(errors="surrogatepass")) > MAX_ID_BYTES:
        raise BadQueryError(f"id: expected that of a document, at most {MAX_ID_BYTES} bytes")
    path = f"/{quote(index, safe='')}/_doc/{quote(id, safe='', errors='replace')}"
    status, answer = engine.request("GET", path)
    if status in (400, 404):
        raise NoDocumentError("there is no such document, or its index is closed")
    source = answer.get("_source") if isinstance(answer, dict) else None
    if status != 200 or not isinstance(source, dict):
        raise StoreUnavailableError(f"the search engine answered {status} to a request for a document")
    return source


def _is_own(index: str, settings: Settings) -> bool:
    own = settings.index_name
    return index.startswith(OWN_PREFIX) or bool(own and (index == own or is_of(index, own)))
