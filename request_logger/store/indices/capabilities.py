"""Asks a search engine what its indices can do, on an empty index that exists only for the question.

The caller provides the function that sends a request. The engine is asked and not its version compared, since the same
version can be configured to refuse such searches.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from request_logger.store.indices.templates import INDEX_PATTERNS, Mapping, without_points
from request_logger.store.responses import Refusal, read_acknowledgement, read_search

log = logging.getLogger(__name__)

SendRequest = Callable[..., tuple[int, Any]]

# Within a pattern that the logger's user may write to. Followed by a name that no other process has.
_TRIAL_INDEX = INDEX_PATTERNS[0].replace("*", "request-logger-trial-")
_FIELD = "number"
TRIAL_BODY: Mapping = {
    "settings": {"index.number_of_shards": 1, "index.number_of_replicas": 0, "index.hidden": True},
    "mappings": {"properties": {_FIELD: {"type": "double", "index": False}}},
}
TRIAL_SEARCH: Mapping = {
    "size": 0,
    "query": {"bool": {"should": [{"range": {_FIELD: {"gte": 0}}}, {"term": {_FIELD: 1}}]}},
}
"""The two kinds of query that a number without points must answer."""


def leaner(template: Mapping, request: SendRequest, name: str) -> Mapping:
    """Return an index template without points, if the search engine can search numbers that have none.

    ``name`` distinguishes this process from others. A template without numbers is returned without a question. Raises
    StoreUnavailableError.
    """
    lean = without_points(template)
    return lean if lean != template and searches_doc_values(request, name) else template


def searches_doc_values(request: SendRequest, name: str) -> bool:
    """Return whether the search engine searches numbers that have doc values and no points.

    False also if this user may not create the trial index. ``request(method, path, body)`` returns the status and the
    parsed answer. ``name`` distinguishes this process from others; a repetition uses the same index. Raises
    StoreUnavailableError if there is no answer.
    """
    path = f"/{quote(f'{_TRIAL_INDEX}{name}', safe='')}"
    status, answer = request("PUT", path, TRIAL_BODY)
    refusal = read_acknowledgement(status, answer, what="creating a trial index")
    if refusal is not None and not refusal.already_exists:
        return False
    try:
        # Without an active shard the answer to a search would say nothing.
        is_ready = refusal is not None or answer.get("shards_acknowledged") is not False
        return is_ready and not isinstance(read_search(*request("POST", f"{path}/_search", TRIAL_SEARCH)), Refusal)
    finally:
        refusal = read_acknowledgement(*request("DELETE", path), what="deleting a trial index")
        if refusal is not None and not refusal.is_missing:
            log.warning("the empty index %s%s can't be deleted: delete it by hand", _TRIAL_INDEX, name)
