"""Creates indices with our fields, and keeps the index templates installed, over any way to send a request.

Nothing here starts a thread, waits, or asks for the time other than by the ``clock`` that it is given.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from request_logger.settings import Settings
from request_logger.store.indices import templates
from request_logger.store.responses import (
    Refusal,
    read_acknowledgement,
    read_mappings,
    read_settings,
    read_templates,
)

log = logging.getLogger(__name__)

Request = Callable[..., tuple[int, Any]]
"""``request(method, path, body=None, params=None)`` returns status and parsed answer, also of an error.

Raises StoreUnavailableError where there is no answer.
"""

# An index that could not be prepared, and templates of an engine that has lost an index, are looked at again after so
# long: a look is several requests, and the _bulk requests of a busy logger are milliseconds apart.
RETRY_SECONDS = 5.0
# So many warnings and pauses are remembered: some 100 kB where each is for another index.
_MOST_REMEMBERED = 1000
_FIELD_LIMIT = "index.mapping.total_fields.limit"


class IndexAdmin:
    """Prepares indices for the documents that are written to them.

    May be called by several threads: they do the same work twice at worst.
    """

    def __init__(self, request: Request, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._request = request
        self._templates = templates.wanted(settings)
        self._clock = clock
        # How often an index was gone, and what that was when the templates were last found in order.
        self._losses = 0
        self._losses_checked = -1
        self._check_templates_at = float("-inf")
        self._retry_at: dict[str, float] = {}
        # Indices that have had all of our fields.
        self._completed: set[str] = set()
        self._warned: set[tuple[str, str]] = set()

    def prepare(self, index: str) -> bool:
        """Make sure that an index is there and can take our fields; False: not yet, and must be prepared later.

        A new one gets the types of the template. One that is there, whoever created it, is given the fields that it
        lacks. What the engine refuses is warned of once and left to the verdict on each document. False is a block, or
        that the index can't be created; that is asked again after RETRY_SECONDS at the earliest. Raises
        StoreUnavailableError.
        """
        if self._clock() < self._retry_at.get(index, float("-inf")):
            return False
        self.install_template()
        done = self._create(index)
        # It may have turned out to be another than the one that was prepared before.
        self.install_template()
        # Where the templates were looked at a moment ago, they are looked at again with the index.
        done = done and self._losses_checked == self._losses
        if done:
            self._retry_at.pop(index, None)
        else:
            if len(self._retry_at) >= _MOST_REMEMBERED:
                self._retry_at.clear()
            self._retry_at[index] = self._clock() + RETRY_SECONDS
        return done

    def forget(self, index: str) -> None:
        """Note that an index is not there any more.

        The engine may have come back empty: the templates are checked, too, before an index is created again, once
        in RETRY_SECONDS at most. A pause of an index that could not be created goes on.
        """
        self._losses += 1
        self._completed.discard(index)

    def install_template(self) -> None:
        """Install the index templates where they are missing or older. Raises StoreUnavailableError."""
        losses = self._losses
        if self._losses_checked == losses or self._clock() < self._check_templates_at:
            return
        blocked = False
        for name, wanted in self._templates.items():
            path = f"/_index_template/{name}"
            present = read_templates(*self._request("GET", path))
            if isinstance(present, Refusal) or not templates.is_current(present, wanted):
                refusal = read_acknowledgement(*self._request("PUT", path, wanted), what="installing a template")
                if refusal is not None:
                    blocked = blocked or refusal.is_blocked
                    self._warn(f"the index template {name} can't be installed", refusal)
        if losses:
            self._check_templates_at = self._clock() + RETRY_SECONDS
        if not blocked:
            self._losses_checked = losses

    def _create(self, index: str) -> bool:
        """Create an index where there is none, and give it what it lacks; say whether it is there and not blocked."""
        found = self._mappings(index)
        if found == {}:
            refusal = read_acknowledgement(*self._request("PUT", _path(index)), what="creating an index")
            if refusal is not None and not refusal.already_exists:
                self._warn(f"index {index} can't be created ahead", refusal)
                return False
            found = self._mappings(index)
            if refusal is None:
                # A new one has all fields, where the templates are there.
                self._completed.add(index)
        if isinstance(found, Refusal):
            self._warn(f"the mapping of index {index} can't be read", found)
            return not found.is_blocked
        # An alias answers with the indices behind it.
        done = [self._complete(name, mapping) for name, mapping in found.items()]
        return bool(done) and all(done)

    def _mappings(self, index: str) -> dict[str, Any] | Refusal:
        """Return the mapping of an index by its name, or of those behind an alias; nothing where there is none."""
        return read_mappings(*self._request("GET", f"{_path(index)}/_mapping"))

    def _complete(self, index: str, mapping: dict[str, Any]) -> bool:
        """Give an index what its mapping lacks, and room for it; False where it is blocked."""
        additions = templates.additions(mapping)
        if additions and index in self._completed:
            # It was created again by its first document, or without the templates: they may be gone.
            self._completed.remove(index)
            self._losses += 1
        refusal = None
        if additions:
            self._make_room(index, mapping, additions)
            refusal = self._put_mapping(index, additions)
        if refusal is None:
            if len(self._completed) >= _MOST_REMEMBERED:
                self._completed.clear()
            self._completed.add(index)
            return True
        if not refusal.is_blocked:
            # A mapping is taken whole or not at all: one field that can't be added must not cost the others.
            for piece in templates.pieces(additions):
                refusal = self._put_mapping(index, piece) or refusal
        self._warn(f"index {index} can't be given all of our fields", refusal)
        return not refusal.is_blocked

    def _make_room(self, index: str, mapping: dict[str, Any], additions: dict[str, Any]) -> None:
        """Raise the limit of fields of an index to ours; further where it is full of others' names."""
        path = f"{_path(index)}/_settings"
        status, answer = self._request("GET", path, params={"flat_settings": "true"})
        settings = read_settings(status, answer, index)
        known = {} if isinstance(settings, Refusal) else settings
        needed = templates.count_fields(mapping) + templates.count_fields(additions)
        limit = max(templates.FIELD_LIMIT, needed)
        if _number(known.get(_FIELD_LIMIT)) < limit:
            refusal = read_acknowledgement(
                *self._request("PUT", path, {_FIELD_LIMIT: limit}), what="changing the settings of an index"
            )
            if refusal is not None:
                self._warn(f"index {index} can't be given room for more fields", refusal)

    def _put_mapping(self, index: str, additions: dict[str, Any]) -> Refusal | None:
        answer = self._request("PUT", f"{_path(index)}/_mapping", additions)
        return read_acknowledgement(*answer, what="changing a mapping")

    def _warn(self, what: str, refusal: Refusal) -> None:
        """Log what is refused, once for each index or template and kind of error."""
        key = (what, f"{refusal.status} {refusal.kind}")
        if key not in self._warned:
            if len(self._warned) >= _MOST_REMEMBERED:
                self._warned.clear()
            self._warned.add(key)
            log.warning("%s: the engine answered %s: %s", what, refusal.status, refusal.reason)


def _path(index: str) -> str:
    return "/" + quote(index, safe="")


def _number(text: Any) -> int:
    """Read the number of a setting; 0 where there is none."""
    return int(text) if isinstance(text, (int, str)) and str(text).isdecimal() else 0
