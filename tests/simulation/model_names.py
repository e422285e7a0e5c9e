"""Resolve names in requests to indices (names, aliases, patterns), and validate names of new indices."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tests.simulation.model_flavour import Refusal, bad_argument, no_index
from tests.simulation.model_index import ModelIndex

if TYPE_CHECKING:
    from tests.simulation.model_state import State

_FORBIDDEN = frozenset('\\/*?"<>| ,#')
_MOST_BYTES = 255


def check_name(name: str) -> None:
    """Check the name of a new index. Raises Refusal."""
    problem = ""
    if any(character in _FORBIDDEN for character in name):
        problem = "must not contain the following characters"
    elif ":" in name:
        problem = "must not contain ':'"
    elif name[:1] in ("_", "-", "+"):
        problem = "must not start with '_', '-', or '+'"
    elif len(name.encode()) > _MOST_BYTES:
        problem = "index name is too long"
    elif name in (".", ".."):
        problem = "must not be '.' or '..'"
    elif name != name.lower():
        problem = "must be lowercase"
    if problem:
        raise Refusal(400, "invalid_index_name_exception", f"Invalid index name [{name}], {problem}", index=name)


def write_index(state: State, name: str) -> ModelIndex | None:
    """Return the index that a write to a name goes to, or None if it does not exist. Raises Refusal."""
    found = state.indices.get(name)
    if found is not None:
        return found
    behind = state.aliases().get(name)
    if not behind:
        return None
    writers = [index for index in behind if index.aliases[name].get("is_write_index")]
    if writers:
        return writers[0]
    if len(behind) == 1 and behind[0].aliases[name].get("is_write_index") is not False:
        return behind[0]
    raise bad_argument(f"no write index is defined for alias [{name}].")


def read_index(state: State, name: str) -> ModelIndex:
    """Return the single index that a name in a get request refers to. Raises Refusal."""
    found = state.indices.get(name)
    if found is None:
        behind = state.aliases().get(name)
        if not behind:
            raise no_index(name)
        if behind[0].data_stream:
            raise Refusal(404, "index_not_found_exception", f"no such index [{name}]")
        if len(behind) > 1:
            raise bad_argument(
                f"alias [{name}] has more than one index associated with it, can't execute a single index op"
            )
        found = behind[0]
    if found.closed:
        raise closed(found.name)
    return found


def closed(name: str) -> Refusal:
    """Return the refusal of a closed index."""
    return Refusal(400, "index_closed_exception", "closed", index=name, index_uuid="_na_")


def listed(state: State, expression: str, params: Mapping[str, str]) -> list[ModelIndex]:
    """Return the indices that a list of names and patterns refers to. Raises Refusal."""
    lenient = params.get("ignore_unavailable") == "true"
    wildcards = params.get("expand_wildcards", "open").split(",")
    found: dict[str, ModelIndex] = {}
    for part in expression.split(","):
        behind = state.aliases()
        if "*" in part:
            names = [name for name in [*state.indices, *behind] if fnmatch.fnmatchcase(name, part)]
            indices = [index for name in names for index in _behind(state, name)]
            wanted = [index for index in indices if _expands(index, wildcards)]
            if not wanted and params.get("allow_no_indices") == "false":
                raise no_index(part)
        else:
            wanted = list(_behind(state, part))
            if not wanted and not lenient:
                raise no_index(part)
        found |= {index.name: index for index in wanted}
    return list(found.values())


def _behind(state: State, name: str) -> list[ModelIndex]:
    index = state.indices.get(name)
    return [index] if index is not None else list(state.aliases().get(name, ()))


def _expands(index: ModelIndex, wildcards: list[str]) -> bool:
    return "all" in wildcards or ("closed" if index.closed else "open") in wildcards
