"""Asks a search engine what its indices can do, on indices that exist only for the question.

The caller provides the function that sends a request. The engine is asked and not its version compared, since the same
version can be configured to refuse such searches, or lack the library of a codec.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.indices.lean_template import has_codec, is_leanable, with_codec, without_points
from request_logger.store.indices.templates import INDEX_PATTERNS, Mapping
from request_logger.store.responses import Refusal, read_acknowledgement, read_all_settings, read_search, read_stored

log = logging.getLogger(__name__)

SendRequest = Callable[..., tuple[int, Any]]

BEST_CODEC = "best_compression"
"""Every version has this codec, but Elasticsearch 8.15 and later need a native library for it."""
# Within a pattern that the logger's user may write to. Followed by a name that no other process has.
_TRIAL_INDEX = INDEX_PATTERNS[0].replace("*", "request-logger-trial-")
_OURS = re.compile(re.escape(_TRIAL_INDEX) + "[0-9a-f]{32}(-codec)?")
# A question takes seconds. The search engine's clock may differ from this machine's, but hardly by a day.
_STALE_SECONDS = 86_400.0
_FIELD = "number"
_SETTINGS: Mapping = {"index.number_of_shards": 1, "index.number_of_replicas": 0, "index.hidden": True}
TRIAL_BODY: Mapping = {
    "settings": _SETTINGS,
    "mappings": {"properties": {_FIELD: {"type": "double", "index": False}}},
}
TRIAL_SEARCH: Mapping = {
    "size": 0,
    "query": {"bool": {"should": [{"range": {_FIELD: {"gte": 0}}}, {"term": {_FIELD: 1}}]}},
}
"""The two kinds of query that a number without points must answer."""
CODEC_BODY: Mapping = {"settings": {**_SETTINGS, "index.codec": BEST_CODEC}}
# The refresh writes a segment, which is when a codec without its library fails the shard. A healthy engine takes some
# 50 ms for it; a failed shard would be waited for.
CODEC_PARAMS = {"refresh": "true", "timeout": "3s"}


@dataclass(frozen=True)
class Capabilities:
    """What a search engine can do with an index template."""

    searches_doc_values: bool
    """Numbers that have no points."""
    has_best_codec: bool
    """Segments with BEST_CODEC; False also if the template names a codec, which then decides."""

    @classmethod
    def asked(cls, request: SendRequest, name: str, template: Mapping) -> Capabilities:
        """Ask a search engine for a template. ``name`` distinguishes this process from others.

        ``request(method, path, body, params)`` returns the status and the parsed answer. Raises StoreUnavailableError.
        """
        return cls(searches_doc_values(request, name), not has_codec(template) and compresses(request, name))

    def lean(self, template: Mapping) -> Mapping:
        """Return an index template as lean as the search engine can take it."""
        lean = without_points(template) if self.searches_doc_values else template
        return with_codec(lean, BEST_CODEC) if self.has_best_codec else lean


def leaner(template: Mapping, request: SendRequest, name: str) -> Mapping:
    """Return an index template as lean as the search engine can take it: see Capabilities.

    A template that doesn't depend on it is returned without a question. Raises StoreUnavailableError.
    """
    if not is_leanable(template):
        return template
    return Capabilities.asked(request, name, template).lean(template)


def searches_doc_values(request: SendRequest, name: str) -> bool:
    """Return whether the search engine searches numbers that have doc values and no points.

    False also if this user may not create the trial index. A repetition uses the same index. Raises
    StoreUnavailableError if there is no answer.
    """
    with _trial_index(request, name, TRIAL_BODY) as path:
        # Without an active shard the answer to a search would say nothing.
        return path is not None and not isinstance(
            read_search(*request("POST", f"{path}/_search", TRIAL_SEARCH)), Refusal
        )


def compresses(request: SendRequest, name: str) -> bool:
    """Return whether the search engine can write segments with BEST_CODEC.

    An engine that lacks the codec's library accepts the setting, and fails every shard at its first segment. Any
    failure to store one document therefore means no. Raises StoreUnavailableError if the trial index can't be created
    or deleted for want of an answer.
    """
    with _trial_index(request, f"{name}-codec", CODEC_BODY) as path:
        if path is None:
            return False
        try:
            answer = request("PUT", f"{path}/_doc/1", {_FIELD: 1}, params=CODEC_PARAMS)
            return not isinstance(read_stored(*answer), Refusal)
        except StoreUnavailableError:
            return False


def remove_stale_trial_indices(request: SendRequest, now: float) -> None:
    """Delete the trial indices that were a day old at ``now`` (seconds since 1970): their processes were killed.

    Does nothing if this user may not list or delete them. Raises StoreUnavailableError.
    """
    params = {"expand_wildcards": "all", "flat_settings": "true"}
    found = read_all_settings(*request("GET", f"/{_TRIAL_INDEX}*/_settings", params=params))
    for index, settings in {} if isinstance(found, Refusal) else found.items():
        created = str(settings.get("index.creation_date", ""))
        is_stale = created.isdecimal() and int(created) / 1000 < now - _STALE_SECONDS
        if is_stale and _OURS.fullmatch(index) and str(settings.get("index.hidden")) == "true":
            read_acknowledgement(*request("DELETE", f"/{index}"), what="deleting a trial index")


@contextmanager
def _trial_index(request: SendRequest, name: str, body: Mapping) -> Iterator[str | None]:
    """Create an index, and delete it at the end. Its path; None if it can't be created or has no active shard."""
    path = f"/{quote(f'{_TRIAL_INDEX}{name}', safe='')}"
    status, answer = request("PUT", path, body)
    refusal = read_acknowledgement(status, answer, what="creating a trial index")
    if refusal is not None and not refusal.already_exists:
        yield None
        return
    try:
        yield path if refusal is not None or answer.get("shards_acknowledged") is not False else None
    finally:
        refusal = read_acknowledgement(*request("DELETE", path), what="deleting a trial index")
        if refusal is not None and not refusal.is_missing:
            log.warning("the index %s%s can't be deleted: delete it by hand", _TRIAL_INDEX, name)
