"""The write block of `setup --upgrade`, and how it is lifted where the command was killed meanwhile. No threads.

Before the command blocks an index, it creates a hidden lock, an index of its own, and notes in the copy's mapping that
the index is blocked. The request that replaces the index also removes the lock, so it fails without the lock. A process
removes the lock before it lifts the block: either the index is replaced with all changes, or writes go on and it isn't.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from request_logger.store.responses import Refusal, read_acknowledgement, read_mappings

MADE_BY = "request-logger-upgrade"
"""The key in a copy's mapping (`_meta`) that says of which index it is a copy, and how far the upgrade is."""
COPYING, BLOCKED, DONE = "copying", "blocked", "done"
"""The states of an upgrade: the index is copied; its writes are blocked for the last changes; it was replaced."""
COPY = re.compile(r"\.v([0-9]+)$", re.ASCII)
"""The end of a copy's name: ``<index>.v2``, ``.v3``..."""
OPEN = {"expand_wildcards": "all", "ignore_unavailable": "true", "allow_no_indices": "true"}
"""Parameters of requests whose patterns include hidden indices, and may match none."""
# As both engines say it: "index [inference-log-x] blocked by: [FORBIDDEN/8/index write (api)];".
_WRITE_BLOCK = re.compile(r"cluster_block_exception: index \[([^\[\]]{1,255})\] blocked by: \[FORBIDDEN/8/")

SendRequest = Callable[..., tuple[int, Any]]


def lock_name(copy: str) -> str:
    """Return the name of the lock for the index of which ``copy`` is the copy."""
    return f"{copy}.lock"


def blocked_index(reason: str) -> str:
    """Return the index whose setting `index.blocks.write` refused a write; empty if the reason is another one."""
    found = _WRITE_BLOCK.search(reason)
    return found[1] if found else ""


def copies_pattern(index: str) -> str:
    """Return the path of the copies of an index, and of the index that it is a copy of itself."""
    return f"/{quote(COPY.sub('', index), safe='')}.v*"


def state_of(mapping: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a copy's mapping says of an upgrade that is under way; empty for any other index's."""
    meta = mapping.get("_meta")
    about = meta.get(MADE_BY) if isinstance(meta, dict) else None
    return about if isinstance(about, dict) and about.get("state") in (COPYING, BLOCKED) else {}


def lift(request: SendRequest, index: str) -> str:
    """Lift the block that a killed upgrade has left on an index; return what happened, empty if it left none.

    The copy and its progress stay: `setup --upgrade` goes on with it. Raises StoreUnavailableError.
    """
    params = {**OPEN, "filter_path": "*.mappings._meta"}
    found = read_mappings(*request("GET", f"{copies_pattern(index)}/_mapping", params=params))
    if isinstance(found, Refusal):
        return f"the copies of index {index} can't be listed: {found.reason}"
    for copy, mapping in found.items():
        about = state_of(mapping)
        if about.get("of") == index and about["state"] == BLOCKED:
            return _refusal(request, index, copy, about) or f"the write block of index {index} is lifted"
    return ""


def _refusal(request: SendRequest, index: str, copy: str, about: Mapping[str, Any]) -> str:
    """Remove the lock, then the block, then the note; return why it stopped, empty if it did not."""
    meta = {"_meta": {MADE_BY: {**about, "state": COPYING}}}
    steps: tuple[tuple[str, str, Any], ...] = (
        ("DELETE", _path(lock_name(copy)), None),
        ("PUT", f"{_path(index)}/_settings", {"index.blocks.write": None}),
        ("PUT", f"{_path(copy)}/_mapping", meta),
    )
    for method, path, body in steps:
        refusal = read_acknowledgement(*request(method, path, body), what=f"{method} {path}")
        # An earlier attempt may have removed the lock and ended then.
        if refusal is not None and not (method == "DELETE" and refusal.is_missing):
            return f"the write block of index {index} can't be lifted: {method} {path}: {refusal.reason}"
    return ""


def _path(index: str) -> str:
    return "/" + quote(index, safe="")
