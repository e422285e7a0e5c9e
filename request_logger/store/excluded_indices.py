"""Excludes indices from a search that can't answer it: closed ones, and those that make it fail.

One index in which a field is text instead of keyword, or without an active shard, must not make a search over many
indices fail. It is excluded from all further requests, and reported with the reason.

Transient failures (an overloaded search engine) exclude no index: a partial answer would be wrong.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from request_logger.common.mapped_fields import ORIGIN_KEYWORDS
from request_logger.store.errors import ShardFailure, failures_of
from request_logger.store.indices.templates import mapping
from request_logger.store.ports import EngineReader

# Search engines accept a request line of 4,096 bytes; parameters need a few hundred.
MAX_PATH_CHARACTERS = 3500
LENIENT = {"ignore_unavailable": "true", "allow_no_indices": "true"}
# For a shard that is temporarily on no node, as while its index is created or moved: on a busy machine that takes more
# than a second.
_PAUSES = (0.1, 0.2, 0.4, 0.8)
# Repeats of a search that lacks a shard although all shards have started: after these, something else is wrong.
_REPEATS_AFTER_START = 1
# A pattern that matches no index; an empty path would mean all indices.
_NONE = "request-logger-no-index-*"
# Types of transient causes (of all vendors), and of errors in the search itself, which no index can answer.
_TRANSIENT = re.compile(
    r"reject|circuit_break|cancel|time_?out|timed_out|disconnect|not_connected|node_closed|transport|too_many_buckets"
    r"|too_many_scroll|out_of_memory|search_context_missing|already_closed"
)
_OF_THE_QUESTION = re.compile(r"pars|number_format|date_time")
# Shards failed, or their answers can't be reduced.
_SHARDS_DIFFER = "search_phase_execution_exception"
_NO_SHARD = "a shard of it is on no node"
# Types of causes for a shard that is on no node, or not started yet.
_MISSING = re.compile(r"no_shard_available|unavailable_shards|illegal_index_shard_state|shard_not_found")

# Indices that the note names; JSON answers name all of them.
_MAX_NAMED = 5
_NUMBERS = frozenset(
    ("long", "integer", "short", "byte", "double", "float", "half_float", "scaled_float", "unsigned_long")
)
_FAMILIES = {**dict.fromkeys(_NUMBERS, "number"), "date_nanos": "date", "constant_keyword": "keyword"}


class ExcludedIndices:
    """The excluded indices of one search, by name, with the reason in one line.

    ``without_shards``: whether to exclude indices that lack an active shard, too. Such indices recover, so a counter
    that must not decrease meanwhile must not exclude them. Not thread-safe.
    """

    def __init__(self, engine: EngineReader, *, without_shards: bool = True) -> None:
        self.reasons: dict[str, str] = {}
        self._engine = engine
        self._without_shards = without_shards
        self._bad: set[str] = set()
        self._pauses = list(_PAUSES)
        self._repeats_after_start = _REPEATS_AFTER_START
        self._resolved: dict[str, list[str]] = {}
        self._watched: dict[str, str | None] = {}

    def as_json(self) -> list[dict[str, str]]:
        """Return the excluded indices as JSON, in order of their names."""
        return [{"index": index, "reason": reason} for index, reason in sorted(self.reasons.items())]

    def narrowed(self, indices: str) -> str:
        """Return the expression (names and globs with commas) for the same indices without the excluded ones."""
        bad = self._bad
        if not bad:
            return indices
        if indices in self._resolved:
            return ",".join(name for name in self._resolved[indices] if name not in bad) or _NONE
        kept = [name for name in indices.split(",") if name not in bad]
        globs = [name for name in kept if "*" in name]
        if not globs:
            return ",".join(kept) or _NONE
        # A name with a leading - is an exclusion only after a glob.
        return ",".join([*globs, *(name for name in kept if "*" not in name), *(f"-{name}" for name in sorted(bad))])

    def watch(self, field: str, family: str | None = None) -> None:
        """Also check the type of a field that the user has chosen; ``family`` is the expected one, if known."""
        self._watched[field] = family

    def note_closed(self, indices: str) -> None:
        """Record the closed indices, which search engines skip silently, so that they are reported."""
        params = {**LENIENT, "expand_wildcards": "open,closed", "filter_path": "*.settings.index.verified_before_close"}
        status, answer = self._engine.request("GET", f"/{quote(indices, safe='*,')}/_settings", params=params)
        if status == 200 and isinstance(answer, Mapping):
            for index, about in answer.items():
                if str(_get(about, "settings", "index", "verified_before_close")).lower() == "true":
                    self.reasons[index] = "closed"

    def learn(self, indices: str, status: int, answer: Any) -> bool:
        """Exclude the indices that made a search of ``indices`` fail; return whether to repeat the search.

        False if no further index can be excluded: then the search itself is wrong, or the failure is transient.
        ``status`` and ``answer`` are those of the failed or partial answer. Raises StoreUnavailableError.
        """
        failures = failures_of(answer)
        if not isinstance(answer, Mapping) or answer.get("timed_out"):
            return False
        whole = str(_get(answer, "error", "caused_by", "type") or "")
        if any(_TRANSIENT.search(type) for type in [whole, *(type for failure in failures for type in failure.types)]):
            return False
        if status >= 400 and any(_OF_THE_QUESTION.search(type) for failure in failures for type in failure.types):
            return False
        found = dict(self._named(failures))
        if all(map(_is_missing, failures)) and _lacks_shards(status, answer):
            if self._pauses:
                # The index may be about to be created, or moved.
                time.sleep(self._pauses.pop(0))
                return True
            lacking = self._without_a_shard(indices)
            if lacking is not None and not lacking and self._repeats_after_start:
                # The shard has started since.
                self._repeats_after_start -= 1
                return True
            found = dict.fromkeys(self._excluded(lacking or {}), _NO_SHARD)
        elif not failures and _get(answer, "error", "type") == _SHARDS_DIFFER:
            found = self._wrongly_mapped(indices)
        new = {index: reason for index, reason in found.items() if index not in self._bad}
        self._bad.update(new)
        self.reasons.update(new)
        return bool(new) or (bool(found) and self._resolve(indices))

    @staticmethod
    def _named(failures: Iterable[ShardFailure]) -> Iterable[tuple[str, str]]:
        for failure in failures:
            # A colon marks an index of a remote cluster, which can't be excluded by name.
            if failure.index and ":" not in failure.index and not _is_missing(failure):
                yield failure.index, failure.text

    def _resolve(self, indices: str) -> bool:
        """Resolve the indices to names, since an index can't be excluded from an alias; False if it was done before."""
        if indices in self._resolved:
            return False
        params = {**LENIENT, "expand_wildcards": "open", "filter_path": "*.settings.index.uuid"}
        status, answer = self._engine.request("GET", f"/{quote(indices, safe='*,')}/_settings", params=params)
        if status != 200 or not isinstance(answer, Mapping):
            return False
        self._resolved[indices] = sorted(map(str, answer))
        return True

    def _without_a_shard(self, indices: str) -> Mapping[str, Any] | None:
        """Return the state of each index that lacks an active shard; None if the search engine doesn't say."""
        names = ("status", "number_of_shards", "active_primary_shards")
        params = {"level": "indices", "filter_path": ",".join(f"indices.*.{name}" for name in names)}
        status, answer = self._engine.request("GET", f"/_cluster/health/{quote(indices, safe='*,')}", params=params)
        known = answer.get("indices") if status == 200 and isinstance(answer, Mapping) else None
        if not isinstance(known, Mapping) or not known:
            return None
        return {
            str(index): about
            for index, about in known.items()
            if _get(about, "active_primary_shards") != _get(about, "number_of_shards")
        }

    def _excluded(self, lacking: Mapping[str, Any]) -> list[str]:
        # An index that lacks a shard and isn't red is new: it has no documents yet.
        return [index for index, about in lacking.items() if self._without_shards or _get(about, "status") != "red"]

    def _wrongly_mapped(self, indices: str) -> dict[str, str]:
        """Return the indices in which a field has another type than the logger's mapping, or than most indices."""
        expected = {**self._watched, **_expected()}
        status, answer = self._engine.request(
            "GET",
            f"/{quote(self.narrowed(indices), safe='*,')}/_field_caps",
            params={**LENIENT, "fields": ",".join([*expected, "metrics.*"])},
        )
        fields = answer.get("fields") if status == 200 and isinstance(answer, Mapping) else None
        found: dict[str, str] = {}
        for field, kinds in fields.items() if isinstance(fields, Mapping) else ():
            if isinstance(kinds, Mapping) and len(kinds) > 1:
                found = {**_others(str(field), kinds, expected.get(field)), **found}
        return found


def left_out_note(left_out: Sequence[dict[str, str]]) -> str:
    """Return the sentence that reports the excluded indices, the first few with their reasons."""
    named = "; ".join(f"{each['index']} ({each['reason']})" for each in left_out[:_MAX_NAMED])
    more = len(left_out) - _MAX_NAMED
    return f"Left out, because they could not be asked: {named}" + (
        f"; and {more:,} more indices." if more > 0 else "."
    )


def _others(field: str, kinds: Mapping[str, Any], expected: str | None) -> dict[str, str]:
    """Return the indices in which a field hasn't the expected type; without one, the type of most indices."""
    by_family: dict[str, list[str]] = {}
    for kind, about in kinds.items():
        listed = about.get("indices") if isinstance(about, Mapping) else None
        if kind not in ("unmapped", "object", "nested") and isinstance(listed, list):
            by_family.setdefault(_FAMILIES.get(kind, kind), []).extend(map(str, listed))
    most = expected or max(by_family, key=lambda family: len(by_family[family]), default="")
    return {
        index: f"{field} is {family}, expected {most}"
        for family, listed in by_family.items()
        if family != most
        for index in listed
    }


def _expected() -> dict[str, str]:
    """Return the expected type of each field that searches use: number, keyword, date or boolean."""
    metrics = mapping()["properties"]["metrics"]["properties"]
    kinds = {f"metrics.{name}": _FAMILIES.get(about["type"], about["type"]) for name, about in metrics.items()}
    # A number in regression, a text where nothing could be scored; searches use only the number.
    kinds["metrics.error"] = "number"
    kinds.update(dict.fromkeys((*ORIGIN_KEYWORDS.values(), "RequestId.keyword"), "keyword"))
    return {**kinds, "@timestamp": "date", "feedback.ce-time": "date"}


def _is_missing(failure: ShardFailure) -> bool:
    return any(_MISSING.search(type) for type in failure.types)


def _lacks_shards(status: int, answer: Mapping[str, Any]) -> bool:
    shards = answer.get("_shards")
    if status == 503:
        return bool(_get(answer, "error", "type") == _SHARDS_DIFFER)
    total, successful = _get(shards, "total"), _get(shards, "successful")
    return status == 200 and isinstance(total, int) and isinstance(successful, int) and successful < total


def _get(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
