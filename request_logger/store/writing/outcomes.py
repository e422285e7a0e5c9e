"""What an outcome tells of a document: the version that is known now, its copies, the reason for a refusal. No I/O."""

from __future__ import annotations

from collections.abc import Callable

from request_logger.common.json import dumps
from request_logger.store.writing.bulk import Outcome
from request_logger.store.writing.pending import PendingDocument
from request_logger.store.writing.states import Action, Kind
from request_logger.store.writing.version_cache import Known, VersionCache

# As many characters as a line of the log has room for.
_MOST_CHARACTERS = 300


def learn(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    """Keep what an outcome tells of a document; return the event to count, empty for none."""
    rule = _RULES.get((action, outcome.kind)) or _RULES.get(outcome.kind)
    return rule(document, action, outcome, cache) if rule is not None else ""


def keep(document: PendingDocument, cache: VersionCache) -> None:
    """Cache the version that is known of a document: changes that follow are applied to it without asking."""
    if document.known is not None:
        cache.put(*document.key, document.known)


def types_of(reason: str) -> str:
    """Return the kinds of errors that a reason names, without their texts, which may quote the document.

    An engine's reason is ``type: text <- type: text`` (see `bulk`), one of this program ``what happened: details``.
    """
    return " <- ".join(part.split(": ")[0] for part in reason.split(" <- "))[:_MOST_CHARACTERS]


def _stored(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    assert outcome.version is not None and document.request is not None
    return _knows(document, Known(*outcome.version, document.request.source, document.target_index), cache)


def _found(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    assert outcome.version is not None and outcome.source is not None
    return _knows(document, Known(*outcome.version, dumps(outcome.source), document.target_index), cache)


def _sighted(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    """Keep what a search has found: the locator has noted it in the document."""
    return "" if document.known is None else _knows(document, document.known, cache)


def _knows(document: PendingDocument, known: Known, cache: VersionCache) -> str:
    """Keep a version. That of a document that may have copies is cached once they were searched for: see `keep`."""
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
    # A creation is a guess: see CreatePolicy.
    return "" if action is Action.CREATE else "conflict"


def _buried(document: PendingDocument, action: Action, outcome: Outcome, cache: VersionCache) -> str:
    outcome.reason = document.reasons[-1] if document.reasons else "a document can't be read"
    return "dead_letter"


_Rule = Callable[[PendingDocument, Action, Outcome, VersionCache], str]
_RULES: dict[Kind | tuple[Action, Kind], _Rule] = {
    (Action.CREATE, Kind.DONE): _stored,
    (Action.CREATE_OR_READ, Kind.DONE): _stored,
    (Action.REPLACE, Kind.DONE): _stored,
    (Action.LOOK, Kind.FOUND): _sighted,
    (Action.LOOK, Kind.SEVERAL): _sighted,
    (Action.REMOVE_COPY, Kind.DONE): _removed_copy,
    (Action.REMOVE_COPY, Kind.MISSING): _removed_copy,
    (Action.STORE_LETTER, Kind.DONE): _buried,
    Kind.FOUND: _found,
    Kind.CONFLICT: _conflict,
    Kind.REFUSED: _refused,
    Kind.UNUSABLE: _refused,
    Kind.TOO_LARGE: _refused,
}
