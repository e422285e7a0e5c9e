"""Reads answers about indices, mappings and templates into typed values.

Each function reads one kind of answer, and checks its status, its shape and every type in it. Anything but the value or
a refusal by the search engine itself (a proxy's page, a truncated answer, other JSON) raises StoreUnavailableError:
the search engine can't be reached now, and a retry can succeed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.errors import reason_of

Json = dict[str, Any]

_NO_ANSWER = "no answer that an engine gives"
_SETTINGS = "a request for settings"
_BLOCK = "cluster_block_exception"
# Wrong or missing credentials, a timeout, too many requests: the same request can succeed later.
_TRANSIENT = (401, 408, 429)
# The default limit is 20 levels (index.mapping.depth.limit). Code that walks a mapping recurses per level, so the depth
# must be bounded.
_DEEPEST_MAPPING = 100


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error from the search engine itself, which persists until a setting or an index is changed.

    ``kind`` is the error's type, empty if it has none; ``reason`` is one line.
    """

    status: int
    kind: str
    reason: str

    @property
    def is_blocked(self) -> bool:
        """Whether it is a block (a full disk, a setting of the index or the cluster), which can end by itself."""
        return self.kind == _BLOCK

    @property
    def is_missing(self) -> bool:
        """Whether there is no such index or template."""
        return self.status == 404 and self.kind in ("index_not_found_exception", "resource_not_found_exception")

    @property
    def already_exists(self) -> bool:
        """Whether an index of that name exists already."""
        return "already_exists" in self.kind


def read_mappings(status: int, answer: Any) -> dict[str, Json] | Refusal:
    """Return the mapping of each index by its name; empty if there is no such index.

    Raises StoreUnavailableError.
    """
    what = "a request for a mapping"
    if status != 200:
        refusal = _refusal(status, answer, what)
        return {} if refusal.is_missing else refusal
    found: dict[str, Any] = {name: entry.get("mappings") for name, entry in _objects(answer, what).items()}
    # Empty if the name was interpreted as a pattern, which no valid index name is.
    if not all(_is_mapping(mapping) for mapping in found.values()):
        raise _unreadable(status, what)
    return found


def read_settings(status: int, answer: Any, index: str) -> Json | Refusal:
    """Return the flat settings (``index.blocks.write``) of one index. Raises StoreUnavailableError."""
    found = read_all_settings(status, answer)
    if isinstance(found, Refusal):
        return found
    if index not in found:
        raise _unreadable(status, _SETTINGS)
    return found[index]


def read_all_settings(status: int, answer: Any) -> dict[str, Json] | Refusal:
    """Return the flat settings of each index by its name. Raises StoreUnavailableError."""
    if status != 200:
        return _refusal(status, answer, _SETTINGS)
    found: dict[str, Any] = {name: entry.get("settings") for name, entry in _objects(answer, _SETTINGS).items()}
    if not all(isinstance(settings, dict) for settings in found.values()):
        raise _unreadable(status, _SETTINGS)
    return found


def read_templates(status: int, answer: Any) -> list[Json] | Refusal:
    """Return the index templates of an answer; empty if there is no such template. Raises StoreUnavailableError."""
    what = "a request for a template"
    if status != 200:
        refusal = _refusal(status, answer, what)
        return [] if refusal.is_missing else refusal
    entries = answer.get("index_templates") if isinstance(answer, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise _unreadable(status, what)
    templates = [entry.get("index_template") for entry in entries]
    if not all(_is_template(template) for template in templates):
        raise _unreadable(status, what)
    return templates


def read_aliases(status: int, answer: Any) -> dict[str, set[str]] | Refusal:
    """Return the aliases of each index by its name; empty if there is no such index.

    Raises StoreUnavailableError.
    """
    what = "a request for indices"
    if status != 200:
        refusal = _refusal(status, answer, what)
        return {} if refusal.is_missing else refusal
    found: dict[str, Any] = {name: entry.get("aliases") for name, entry in _objects(answer, what).items()}
    if not all(isinstance(aliases, dict) for aliases in found.values()):
        raise _unreadable(status, what)
    return {name: set(aliases) for name, aliases in found.items()}


def read_acknowledgement(status: int, answer: Any, what: str) -> Refusal | None:
    """Return None if the request (creating an index, changing a mapping...) was acknowledged, else the refusal.

    ``what`` names the request in errors. Raises StoreUnavailableError.
    """
    if status not in (200, 201):
        return _refusal(status, answer, what)
    if not isinstance(answer, dict) or answer.get("acknowledged") is not True:
        raise _unreadable(status, what)
    return None


def read_search(status: int, answer: Any) -> Refusal | None:
    """Return None if a search was answered by all shards, else the refusal. Raises StoreUnavailableError."""
    what = "a search"
    if status != 200:
        return _refusal(status, answer, what)
    shards = answer.get("_shards") if isinstance(answer, dict) else None
    if not isinstance(shards, dict) or shards.get("failed") != 0 or not isinstance(answer.get("hits"), dict):
        raise _unreadable(status, what)
    return None


def read_stored(status: int, answer: Any) -> Refusal | None:
    """Return None if a document was stored by all shards, else the refusal. Raises StoreUnavailableError."""
    what = "storing a document"
    if status not in (200, 201):
        return _refusal(status, answer, what)
    shards = answer.get("_shards") if isinstance(answer, dict) else None
    if not isinstance(shards, dict) or shards.get("failed") != 0 or not shards.get("successful"):
        raise _unreadable(status, what)
    return None


def is_healthy(status: int, answer: Any) -> bool:
    """Return whether an answer to ``GET /_cluster/health`` shows a working search engine that accepts our credentials.

    So do refusals: not every user has the permission, and a busy search engine answers 429.
    """
    if not isinstance(answer, dict) or status in (401, 408) or status >= 500:
        return False
    if status == 200:
        return answer.get("status") in ("green", "yellow", "red")
    error = _error_of(status, answer)
    return error is not None and (bool(error.kind) or status == 403)


def is_engine_error(status: int, answer: Any) -> bool:
    """Return whether an answer is an error in the search engines' format, with a type."""
    error = _error_of(status, answer)
    return error is not None and bool(error.kind)


def kind_of(status: int, answer: Any) -> str:
    """Return the type of an error, for messages: its reason could quote the request."""
    error = _error_of(status, answer)
    return _NO_ANSWER if error is None else error.kind or "an error without a type"


def _refusal(status: int, answer: Any, what: str) -> Refusal:
    """Return the search engine's refusal; raise StoreUnavailableError if it is none, or a transient one."""
    error = _error_of(status, answer)
    if error is not None and ((status not in _TRANSIENT and status < 500) or (status == 429 and error.is_blocked)):
        return error
    raise _unreadable(status, what) if error is None else StoreUnavailableError(_text(status, what, error.reason))


def _error_of(status: int, answer: Any) -> Refusal | None:
    """Return an answer as an error of the search engine; None if it has another format."""
    if not isinstance(answer, dict) or not 400 <= status < 600:
        return None
    error = answer.get("error")
    if isinstance(error, dict) and isinstance(error.get("type"), str):
        return Refusal(status, error["type"], reason_of(answer))
    # Refusals by the HTTP layer, of a path or a method, have no type.
    if isinstance(error, str) and status in (400, 405):
        return Refusal(status, "", reason_of(error))
    # Access control in front of the search engine, such as a cloud's, answers with its own JSON.
    return Refusal(status, "", "the user may not do this") if status == 403 else None


def _objects(answer: Any, what: str) -> dict[str, Json]:
    if not isinstance(answer, dict) or not all(isinstance(entry, dict) for entry in answer.values()):
        raise _unreadable(200, what)
    return answer


def _is_mapping(mapping: Any) -> bool:
    """Return whether a value is a mapping: everything below `properties` and `fields` is an object."""
    level = [mapping]
    for _ in range(_DEEPEST_MAPPING):
        below: list[Any] = []
        for field in level:
            if not isinstance(field, dict) or not isinstance(field.get("type", ""), str):
                return False
            for name in ("properties", "fields"):
                # Most fields have neither, and a mapping has hundreds of them.
                if name in field:
                    if not isinstance(field[name], dict):
                        return False
                    below += field[name].values()
        if not below:
            return True
        level = below
    return False


def _is_template(template: Any) -> bool:
    if not isinstance(template, dict):
        return False
    patterns, version = template.get("index_patterns"), template.get("version", 0)
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        return False
    if not isinstance(version, int) or isinstance(version, bool):
        return False
    inner: Any = template
    for name in ("template", "settings", "index"):
        inner = inner.get(name, {})
        if not isinstance(inner, dict):
            return False
    return True


def _unreadable(status: int, what: str) -> StoreUnavailableError:
    return StoreUnavailableError(_text(status, what, _NO_ANSWER))


def _text(status: int, what: str, reason: str) -> str:
    return f"the engine answered {status} to {what}: {reason}"
