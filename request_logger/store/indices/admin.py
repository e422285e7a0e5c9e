"""Creates indices with our fields, and keeps the index templates installed.

The caller provides the function that sends a request, and the clock. Starts no thread, and never waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.indices import templates
from request_logger.store.indices.capabilities import Capabilities, remove_stale_trial_indices
from request_logger.store.indices.lean_template import is_leanable, with_codec_of_any_engine
from request_logger.store.responses import (
    Refusal,
    read_acknowledgement,
    read_mappings,
    read_settings,
    read_templates,
)

log = logging.getLogger(__name__)

SendRequest = Callable[..., tuple[int, Any]]
"""``request(method, path, body=None, params=None)`` returns the status and the parsed answer, also of an error.

Raises StoreUnavailableError if there is no answer.
"""

# The pause before an index that could not be prepared, or the templates after an index was lost, are checked again. A
# check takes several requests, while the _bulk requests of a busy logger are milliseconds apart.
RETRY_SECONDS = 5.0
# The pause before a refused template is installed again, doubled after each refusal. Most refusals last (a permission),
# and an index that lacks the template is given its fields; a gateway's refusal must not leave it out for ever.
FIRST_TEMPLATE_PAUSE_SECONDS = 60.0
MAX_TEMPLATE_PAUSE_SECONDS = 3600.0
# Entries per record of warnings and pauses: about 100 kB if each is for another index.
_MAX_REMEMBERED = 1000
_FIELD_LIMIT = "index.mapping.total_fields.limit"


class IndexAdmin:
    """Prepares indices for the documents that are written to them.

    Thread-safe without a lock: at worst, two threads prepare the same index twice. ``name`` distinguishes this process
    from others; by default it is a random one.
    """

    def __init__(
        self,
        request: SendRequest,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        name: str | None = None,
    ) -> None:
        self._request = request
        self._templates = templates.wanted(settings)
        self._text_search = settings.text_search
        self._clock = clock
        self._name = name or uuid4().hex
        # None: the search engine was not asked yet.
        self._capabilities: Capabilities | None = None
        # The number of lost indices so far, and its value when the templates were last found to be current.
        self._losses = 0
        self._losses_checked = -1
        self._check_templates_at = float("-inf")
        # Some template was refused; when it is installed again, and the pause before the time after that.
        self._is_template_refused = False
        self._install_again_at = float("inf")
        self._template_pause = FIRST_TEMPLATE_PAUSE_SECONDS
        self._is_tidy = False
        self._retry_at: dict[str, float] = {}
        # Indices that were found or made to have all of our fields.
        self._completed: set[str] = set()
        self._warned: set[tuple[str, str]] = set()

    def prepare(self, index: str) -> bool:
        """Create an index, or add the fields that it lacks; return False if that has to be retried later.

        A new index gets the types of the template. An existing index, whichever program created it, gets the missing
        fields; if the search engine refuses that, a warning is logged once, and documents are refused one by one. The
        result is False if the index is blocked or can't be created; then it is tried again after RETRY_SECONDS at the
        earliest. Raises StoreUnavailableError.
        """
        if self._clock() < self._retry_at.get(index, float("-inf")):
            return False
        self.install_template()
        done = self._create(index)
        # The index may have turned out to be another one than before, which means that the templates may be lost, too.
        self.install_template()
        # If the templates could not be checked now, they are checked together with the index next time.
        done = done and self._losses_checked == self._losses
        if done:
            self._retry_at.pop(index, None)
        else:
            if len(self._retry_at) >= _MAX_REMEMBERED:
                self._retry_at.clear()
            self._retry_at[index] = self._clock() + RETRY_SECONDS
        return done

    def forget(self, index: str) -> None:
        """Record that an index doesn't exist any more.

        The search engine may have lost all data, so the templates are checked before an index is created again, at most
        once in RETRY_SECONDS. The pause of an index that could not be created continues.
        """
        self._losses += 1
        self._completed.discard(index)
        self._capabilities = None

    def install_template(self) -> None:
        """Install the index templates that are missing or outdated. Raises StoreUnavailableError.

        One that the search engine refuses is installed again before an index is prepared, at the earliest after a
        pause: see FIRST_TEMPLATE_PAUSE_SECONDS.
        """
        losses, now = self._losses, self._clock()
        is_unchecked = self._losses_checked != losses and now >= self._check_templates_at
        if not is_unchecked and now < self._install_again_at:
            return
        blocked = refused = False
        for name, wanted in self._templates.items():
            path = f"/_index_template/{name}"
            present = read_templates(*self._request("GET", path))
            if isinstance(present, Refusal) or not templates.is_current(present, wanted):
                lean = self._leaner(wanted)
                refusal = self._put_template(path, lean)
                plainer = with_codec_of_any_engine(lean)
                if refusal is not None and not refusal.is_blocked and plainer is not None:
                    self._warn(f"the index template {name} can't be installed with INDEX_CODEC", refusal)
                    refusal = self._put_template(path, plainer)
                if refusal is not None:
                    refused = True
                    blocked = blocked or refusal.is_blocked
                    self._warn(f"the index template {name} can't be installed", refusal)
        if losses:
            self._check_templates_at = self._clock() + RETRY_SECONDS
        if not blocked:
            self._losses_checked = losses
        self._plan_installation(refused=refused)
        self._tidy()

    def _plan_installation(self, *, refused: bool) -> None:
        """Decide when to install the templates again, of which some were ``refused``."""
        self._is_template_refused = refused
        if refused:
            self._install_again_at = self._clock() + self._template_pause
            self._template_pause = min(2 * self._template_pause, MAX_TEMPLATE_PAUSE_SECONDS)
        else:
            self._install_again_at, self._template_pause = float("inf"), FIRST_TEMPLATE_PAUSE_SECONDS

    def _tidy(self) -> None:
        """Delete stale trial indices, once; an index is prepared whether or not that succeeds."""
        if not self._is_tidy:
            self._is_tidy = True
            with suppress(StoreUnavailableError):
                remove_stale_trial_indices(self._request, time.time())

    def _leaner(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """Return a template as lean as the search engine can take it; it is asked once."""
        if not is_leanable(wanted):
            return wanted
        if self._capabilities is None:
            self._capabilities = Capabilities.asked(self._request, self._name, wanted)
        return self._capabilities.lean(wanted)

    def _put_template(self, path: str, template: dict[str, Any]) -> Refusal | None:
        return read_acknowledgement(*self._request("PUT", path, template), what="installing a template")

    def _create(self, index: str) -> bool:
        """Create an index if it doesn't exist, and add missing fields; return whether it exists and isn't blocked."""
        found = self._mappings(index)
        if found == {}:
            # A new index has all fields, provided that the templates are installed. Noted first: whichever answer gets
            # lost, a later check that finds fields missing says that the templates may be lost.
            self._completed.add(index)
            refusal = read_acknowledgement(*self._request("PUT", _path(index)), what="creating an index")
            if refusal is not None:
                self._completed.discard(index)
                if not refusal.already_exists:
                    self._warn(f"index {index} can't be created ahead", refusal)
                    return False
            found = self._mappings(index)
        if isinstance(found, Refusal):
            self._warn(f"the mapping of index {index} can't be read", found)
            return not found.is_blocked
        # For an alias the answer has the indices behind it.
        done = [self._complete(name, mapping) for name, mapping in found.items()]
        if index not in found:
            # An index that later has the name of the alias, and lacks fields, says that the templates may be lost.
            self._completed.add(index)
        return bool(done) and all(done)

    def _mappings(self, index: str) -> dict[str, Any] | Refusal:
        """Return the mappings of an index, or of the indices behind an alias, by name; empty if there is none."""
        return read_mappings(*self._request("GET", f"{_path(index)}/_mapping"))

    def _complete(self, index: str, mapping: dict[str, Any]) -> bool:
        """Add the missing fields to an index, and raise its field limit; return False if the index is blocked."""
        additions = templates.additions_for(index, mapping, text_search=self._text_search)
        if additions and index in self._completed:
            # It was created again, implicitly by its first document or without the templates, which may be lost, unless
            # they are known to be missing.
            self._completed.remove(index)
            self._losses += not self._is_template_refused
        refusal = None
        if additions:
            self._make_room(index, mapping, additions)
            refusal = self._put_mapping(index, additions)
        if refusal is None:
            if len(self._completed) >= _MAX_REMEMBERED:
                self._completed.clear()
            self._completed.add(index)
            return True
        if not refusal.is_blocked:
            # A mapping is accepted or refused as a whole. One field that can't be added must not prevent the others.
            for piece in templates.pieces(additions):
                refusal = self._put_mapping(index, piece) or refusal
        self._warn(f"index {index} can't be given all of the logger's fields", refusal)
        return not refusal.is_blocked

    def _make_room(self, index: str, mapping: dict[str, Any], additions: dict[str, Any]) -> None:
        """Raise the field limit of an index to ours, or higher if its own fields need more."""
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
        """Log a refusal, once per index or template and type of error."""
        key = (what, f"{refusal.status} {refusal.kind}")
        if key not in self._warned:
            if len(self._warned) >= _MAX_REMEMBERED:
                self._warned.clear()
            self._warned.add(key)
            log.warning("%s: the engine answered %s: %s", what, refusal.status, refusal.reason)


def _path(index: str) -> str:
    return "/" + quote(index, safe="")


def _number(text: Any) -> int:
    """Return a setting's value as a number, 0 if it has none."""
    return int(text) if isinstance(text, (int, str)) and str(text).isdecimal() else 0
