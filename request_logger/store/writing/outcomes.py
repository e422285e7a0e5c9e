"""Updates a document with an outcome: its known version, its copies, the reason for a refusal. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from request_logger.common.json import dumps
from request_logger.store.writing.bulk import Outcome
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.states import Action, Kind, Transition
from request_logger.store.writing.version_cache import Known, VersionCache

# Without a pause. Each conflict means that another writer was first; replicas that share a document's events have a few
# in a row, and what has more needs the pauses so that one of the writers gets through.
_MOST_CONFLICTS_AT_ONCE = 8
# Keeps a line of the log readable.
_MAX_CHARACTERS = 300


def learn(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    """Update a document and the cache with an outcome; return the name of the event to count, empty for none."""
    rule = _RULES.get((action, outcome.kind)) or _RULES.get(outcome.kind)
    return rule(document, action, outcome, cache) if rule is not None else ""


def must_pause(document: PendingDocument, row: Transition, outcome: Outcome) -> bool:
    """Return whether a document is sent again only after a pause: by its transition, or after many conflicts."""
    return row.pauses or (outcome.kind is Kind.CONFLICT and document.conflicts > _MOST_CONFLICTS_AT_ONCE)


def paused_as(outcome: Outcome) -> str:
    """Return the name of the event to count where a document is sent again after a pause."""
    if outcome.kind is Kind.MISSING:
        return "index_missing"
    return "forbidden" if outcome.is_forbidden else "retry"


def keep(document: PendingDocument, cache: VersionCache) -> None:
    """Cache the known version of a document: later changes are applied to it without a read."""
    if document.known is not None:
        cache.put(*document.key, document.known)


def types_of(reason: str) -> str:
    """Return the error types that a reason names, without their texts, which may quote the document.

    A search engine's reason has the form ``type: text <- type: text`` (see `bulk`), a reason of this program the form
    ``what happened: details``.
    """
    return " <- ".join(part.split(": ")[0] for part in reason.split(" <- "))[:_MAX_CHARACTERS]


def _stored(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    assert outcome.version is not None and document.request is not None
    return _keep_version(document, Known(*outcome.version, document.request.source, document.target_index), cache)


def _found(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    assert outcome.version is not None and outcome.source is not None
    return _keep_version(document, Known(*outcome.version, dumps(outcome.source), document.target_index), cache)


def _found_by_lookup(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    """Keep the version that a lookup found: the locator has recorded it in the document."""
    return "" if document.known is None else _keep_version(document, document.known, cache)


def _keep_version(document: PendingDocument, known: Known, cache: VersionCache) -> str:
    """Keep a version. If the document may have copies, it is cached only after the search for them: see `keep`."""
    document.known = known
    if not document.is_multi_index:
        keep(document, cache)
    return ""


def _removed_copy(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    copy = document.copies.pop(0)
    outcome.reason = f"joined: two documents, of {document.target_index} and {copy.index}"
    return "joined"


def _refused(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    document.reasons.append(outcome.reason)
    return "refused"


def _conflict(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    document.conflicts += 1
    # A plain create is a guess, which is expected to fail now and then: see CreatePolicy.
    return "" if action is Action.CREATE else "conflict"


def _dead_letter_stored(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    outcome.reason = document.reasons[-1] if document.reasons else "a document can't be read"
    return "dead_letter"


_Rule = Callable[[PendingDocument, Action, Outcome, VersionCache], str]
_RULES: dict[Kind | tuple[Action, Kind], _Rule] = {
    (Action.CREATE, Kind.DONE): _stored,
    (Action.CREATE_OR_READ, Kind.DONE): _stored,
    (Action.REPLACE, Kind.DONE): _stored,
    (Action.LOOK_UP, Kind.FOUND): _found_by_lookup,
    (Action.LOOK_UP, Kind.SEVERAL): _found_by_lookup,
    (Action.REMOVE_COPY, Kind.DONE): _removed_copy,
    (Action.REMOVE_COPY, Kind.MISSING): _removed_copy,
    (Action.STORE_DEAD_LETTER, Kind.DONE): _dead_letter_stored,
    Kind.FOUND: _found,
    Kind.CONFLICT: _conflict,
    Kind.REFUSED: _refused,
    Kind.UNUSABLE: _refused,
    Kind.TOO_LARGE: _refused,
}
