"""What the engine answers about indices, mappings and templates, read into typed values.

One function reads one kind of answer, and checks its status, its shape and every type in it. What is neither the value
nor a refusal of the engine's own (a proxy's page, half an answer, other JSON) raises StoreUnavailableError: whoever
answered can't be asked now, and trying again later can help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.errors import reason_of

Json = dict[str, Any]

_NO_ANSWER = "no answer that an engine gives"
_BLOCK = "cluster_block_exception"
# Wrong or missing credentials, a time limit, too much to do: the same request can succeed later.
_PASSING = (401, 408, 429)
# An engine allows 20 levels by default (index.mapping.depth.limit). Code that goes through a mapping calls itself for
# each level, so there is an end.
_DEEPEST_MAPPING = 100


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error of the engine's own about one request, which stays until somebody changes something.

    ``kind`` is the engine's type of the error, empty where it names none; ``reason`` is one line.
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
        """Whether an index of that name was created meanwhile."""
        return "already_exists" in self.kind


def read_mappings(status: int, answer: Any) -> dict[str, Json] | Refusal:
    """Return the mapping of each index by its name; none where there is no such index.

    Raises StoreUnavailableError.
    """
    what = "a request for a mapping"
    if status != 200:
        refusal = _refusal(status, answer, what)
        return {} if refusal.is_missing else refusal
    found: dict[str, Any] = {name: entry.get("mappings") for name, entry in _objects(answer, what).items()}
    # Nothing where the name was taken for a pattern: none that an index can have.
    if not all(_is_mapping(mapping) for mapping in found.values()):
        raise _unreadable(status, what)
    return found


def read_settings(status: int, answer: Any, index: str) -> Json | Refusal:
    """Return the flat settings (``index.blocks.write``) of one index. Raises StoreUnavailableError."""
    what = "a request for settings"
    if status != 200:
        return _refusal(status, answer, what)
    settings = _objects(answer, what).get(index, {}).get("settings")
    if not isinstance(settings, dict):
        raise _unreadable(status, what)
    return settings


def read_templates(status: int, answer: Any) -> list[Json] | Refusal:
    """Return the index templates of an answer; none where there is no such template. Raises StoreUnavailableError."""
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
    """Return the aliases of each index by its name; none where there is no such index.

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
    """Return None where the engine has done what was asked (creating an index, changing a mapping...).

    ``what`` names the request in errors. Raises StoreUnavailableError.
    """
    if status not in (200, 201):
        return _refusal(status, answer, what)
    if not isinstance(answer, dict) or answer.get("acknowledged") is not True:
        raise _unreadable(status, what)
    return None


def is_healthy(status: int, answer: Any) -> bool:
    """Return whether an answer to ``GET /_cluster/health`` is one of an engine that works and knows who asks.

    A refusal counts, too: not everybody may ask for the health, and a busy engine refuses with 429.
    """
    if not isinstance(answer, dict) or status in (401, 408) or status >= 500:
        return False
    if status == 200:
        return answer.get("status") in ("green", "yellow", "red")
    error = _error_of(status, answer)
    return error is not None and (bool(error.kind) or status == 403)


def is_engine_error(status: int, answer: Any) -> bool:
    """Return whether an answer is an error in the form that engines have, with its type."""
    error = _error_of(status, answer)
    return error is not None and bool(error.kind)


def kind_of(status: int, answer: Any) -> str:
    """Return what kind of error an answer is, for a message: its reason may quote what was sent."""
    error = _error_of(status, answer)
    return _NO_ANSWER if error is None else error.kind or "an error without a type"


def _refusal(status: int, answer: Any, what: str) -> Refusal:
    """Return the engine's refusal; raise StoreUnavailableError where it is none, or one that passes."""
    error = _error_of(status, answer)
    if error is not None and ((status not in _PASSING and status < 500) or (status == 429 and error.is_blocked)):
        return error
    raise _unreadable(status, what) if error is None else StoreUnavailableError(_text(status, what, error.reason))


def _error_of(status: int, answer: Any) -> Refusal | None:
    """Return an error of an engine; None where the answer has not the form of one."""
    if not isinstance(answer, dict) or not 400 <= status < 600:
        return None
    error = answer.get("error")
    if isinstance(error, dict) and isinstance(error.get("type"), str):
        return Refusal(status, error["type"], reason_of(answer))
    # What the engine's HTTP layer refuses, a path or a method, has no type.
    if isinstance(error, str) and status in (400, 405):
        return Refusal(status, "", reason_of(error))
    # Access control in front of an engine, such as that of a cloud, has JSON of its own.
    return Refusal(status, "", "the user may not do this") if status == 403 else None


def _objects(answer: Any, what: str) -> dict[str, Json]:
    if not isinstance(answer, dict) or not all(isinstance(entry, dict) for entry in answer.values()):
        raise _unreadable(200, what)
    return answer


def _is_mapping(mapping: Any) -> bool:
    """Say whether this is a mapping: all that is below `properties` and `fields` is an object."""
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
