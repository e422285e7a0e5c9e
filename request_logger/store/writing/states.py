"""The state machine of a document with pending changes, as tables: states, actions, outcomes and transitions.

The writer applies pure changes to documents that other writers change at the same time, over a connection that can
fail. For each document with pending changes it keeps a `State`: what is known of the copy in the search engine. Two
tables define everything that the writer does:

- `CHOICES` maps a state to an action. Conditions are evaluated in order; the first that holds decides. An action is a
  request to the search engine, a move to another state without a request (`MOVES`), or the end.
- `TRANSITIONS` maps the outcome of an action to the next state.

The tables need no search engine, clock or thread: `next_action` and `transition` are pure functions. I/O, time and
concurrency are elsewhere (`core`, `bulk_sender`, `writer`). docs/writer.md is generated from these tables.

**A write never overwrites a version that was not read.** A new document is created, and the request fails if the
document exists. An existing document is replaced on the condition (``if_seq_no``, ``if_primary_term``) that it still
has the version to which the changes were applied. After a conflict the document is read again, and the changes are
applied to the newer version. Changes are pure and idempotent, so a lost answer costs a retry, never a wrong document.

**A known version may be outdated.** A version from the cache (`CACHED`) is sufficient for a write, because the write is
conditional. It doesn't prove that the document still exists, so changes that leave the document as it is are
acknowledged only after a read (`VERIFY`).

**A document can be in several indices.** With an index per month or day (or indices left from such a setting) two
writers can create the same document in two indices. After creating it, a writer lists the indices and searches all
others for copies (`STORED`, `UNCHECKED`). Both writers first store, then list, then search, so at least one of them
finds both copies; it joins them in the oldest index and deletes the others (`HAS_COPIES`). Names with a single index
skip these states.

**Refusals are bounded.** A document that the search engine refuses is degraded: each refusal leads to a form with less
to refuse. A request that is refused as a whole is split; a document that is refused alone is sent again as it is,
since a gateway may have refused it. When no form is left, a dead letter is stored (`UNINDEXABLE`). A dead letter that
can't be stored now is retried until the event's deadline. A refused read can't be degraded: the plan receives an error
(`End.UNREADABLE`).

**Without an answer nothing changes.** If the search engine doesn't answer, asks to retry later or sends an unreadable
answer, the document keeps its state and the pause before the next attempt grows, until the deadline of its events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class State(Enum):
    """What is known of a document in the search engine; the value is its description."""

    # As members are equal only to themselves; Enum's own is a Python function that hashes the name.
    __hash__ = object.__hash__

    UNLOCATED = "it may be in any of several indices"
    RELOCATING = "it is not in the index where it was; its indices must be listed"
    LISTED = "its indices are listed; all of them must be searched"
    LOCATED = "its index is known, its version is not"
    ABSENT = "no index has it"
    CACHED = "a version is known from an earlier request and may be outdated"
    READ = "the search engine has just returned its version"
    FOUND_EXISTING = "the create found it in one index; others may have copies"
    STORED = "it is stored in one index; others may have copies, and must be listed"
    UNCHECKED = "its indices are listed; the others must be searched for copies"
    HAS_COPIES = "other indices have copies, which must be joined and deleted"
    UNINDEXABLE = "the search engine refused every form; a dead letter must be stored"


class End(Enum):
    """How a document's pending changes end."""

    # As members are equal only to themselves; Enum's own is a Python function that hashes the name.
    __hash__ = object.__hash__

    FINISHED = "its changes are acknowledged"
    REJECTED = "its changes fail: they can't be stored in any form"
    UNREADABLE = "its plans receive the error that it can't be read"


class Action(Enum):
    """The next step for a document. The first group are requests, the second are moves without a request."""

    # As members are equal only to themselves; Enum's own is a Python function that hashes the name.
    __hash__ = object.__hash__

    LIST = "list the indices of its name"
    LOOK_UP = "search indices for it (_mget)"
    CREATE = "create it"
    CREATE_OR_READ = "create it, or read it if it exists"
    READ = "read it"
    VERIFY = "read it to check that it still exists"
    REPLACE = "replace the known version"
    DELETE = "delete the known version"
    REMOVE_COPY = "delete a copy that was joined"
    STORE_DEAD_LETTER = "store a dead letter"

    USE_INDEX_OF_DAY = "use the index of its day"
    CONCLUDE_ABSENT = "there is no index to search"
    RELOCATE = "search all indices"
    CHECK_FOR_COPIES = "check for copies"
    CONCLUDE_ONLY_COPY = "there is no other copy"
    GIVE_UP = "give up indexing it"


class Kind(Enum):
    """The kind of outcome of a request for one document."""

    # As members are equal only to themselves; Enum's own is a Python function that hashes the name.
    __hash__ = object.__hash__

    DONE = "stored or deleted"
    FOUND = "it exists; the answer has its version"
    SEVERAL = "several indices have it"
    ABSENT = "none of the searched indices has it"
    LISTED = "the indices are known"
    MISSING = "there is no such document, or no such index"
    CONFLICT = "another writer changed it first"
    REFUSED = "it can't be indexed in this form"
    UNUSABLE = "the index refuses every request for it"
    TOO_LARGE = "the search engine accepts no request of this size"
    LATER = "the search engine can't accept it now"


class Facts(NamedTuple):
    """The facts that select an action in a state."""

    is_listed: bool = True
    """The list of its indices is recent."""
    has_others: bool = False
    """Other indices may have it, and its changes require that they are searched."""
    is_multi_index: bool = False
    """Documents of its name may be in several indices."""
    has_copies: bool = False
    """Other indices are known to have copies."""
    is_new: bool = False
    """It most likely doesn't exist yet: see CreatePolicy."""
    is_empty: bool = False
    """Its changes leave no document."""
    is_unchanged: bool = False
    """Its changes leave the known version as it is."""
    accepts_known: bool = False
    """It is unchanged, and all its changes are reads that accept a cached version."""
    is_exhausted: bool = False
    """Every form of it was refused."""


Condition = Callable[[Facts], bool]

CONDITIONS: Mapping[str, Condition] = {
    "always": lambda facts: True,
    "no form is left": lambda facts: facts.is_exhausted,
    "the list is outdated": lambda facts: not facts.is_listed,
    "other indices may have it": lambda facts: facts.has_others,
    "no document results, and other indices may have it": lambda facts: facts.is_empty and facts.is_multi_index,
    "no copy is left": lambda facts: not facts.has_copies,
    "no document results": lambda facts: facts.is_empty,
    "most likely new": lambda facts: facts.is_new,
    "unchanged, and a cached version suffices": lambda facts: facts.is_unchanged and facts.accepts_known,
    "unchanged": lambda facts: facts.is_unchanged,
    "unchanged, or no document results": lambda facts: facts.is_unchanged or facts.is_empty,
}


class Choice(NamedTuple):
    """One row of CHOICES: the action to take if the condition holds."""

    condition: str
    action: Action | End


CHOICES: Mapping[State, tuple[Choice, ...]] = {
    State.UNLOCATED: (
        Choice("the list is outdated", Action.LIST),
        Choice("other indices may have it", Action.LOOK_UP),
        Choice("always", Action.USE_INDEX_OF_DAY),
    ),
    State.RELOCATING: (Choice("always", Action.LIST),),
    State.LISTED: (Choice("other indices may have it", Action.LOOK_UP), Choice("always", Action.CONCLUDE_ABSENT)),
    State.LOCATED: (
        Choice("no form is left", Action.GIVE_UP),
        Choice("no document results, and other indices may have it", Action.RELOCATE),
        Choice("no document results", Action.READ),
        Choice("most likely new", Action.CREATE),
        Choice("always", Action.CREATE_OR_READ),
    ),
    State.ABSENT: (
        Choice("no form is left", Action.GIVE_UP),
        Choice("no document results", End.FINISHED),
        Choice("most likely new", Action.CREATE),
        Choice("always", Action.CREATE_OR_READ),
    ),
    State.CACHED: (
        Choice("no form is left", Action.GIVE_UP),
        Choice("unchanged, and a cached version suffices", End.FINISHED),
        Choice("unchanged", Action.VERIFY),
        Choice("no document results", Action.DELETE),
        Choice("always", Action.REPLACE),
    ),
    State.READ: (
        Choice("no form is left", Action.GIVE_UP),
        Choice("unchanged", End.FINISHED),
        Choice("no document results", Action.DELETE),
        Choice("always", Action.REPLACE),
    ),
    State.FOUND_EXISTING: (
        Choice("no form is left", Action.GIVE_UP),
        Choice("unchanged, or no document results", Action.CHECK_FOR_COPIES),
        Choice("always", Action.REPLACE),
    ),
    State.STORED: (Choice("always", Action.LIST),),
    State.UNCHECKED: (Choice("other indices may have it", Action.LOOK_UP), Choice("always", Action.CONCLUDE_ONLY_COPY)),
    State.HAS_COPIES: (
        Choice("no copy is left", Action.CONCLUDE_ONLY_COPY),
        Choice("no form is left", Action.GIVE_UP),
        Choice("unchanged, or no document results", Action.REMOVE_COPY),
        Choice("always", Action.REPLACE),
    ),
    State.UNINDEXABLE: (Choice("no document results", End.FINISHED), Choice("always", Action.STORE_DEAD_LETTER)),
}

MOVES: Mapping[Action, State] = {
    Action.USE_INDEX_OF_DAY: State.LOCATED,
    Action.CONCLUDE_ABSENT: State.ABSENT,
    Action.RELOCATE: State.RELOCATING,
    Action.CHECK_FOR_COPIES: State.STORED,
    Action.CONCLUDE_ONLY_COPY: State.READ,
    Action.GIVE_UP: State.UNINDEXABLE,
}


@dataclass(frozen=True, slots=True)
class Transition:
    """The effect of an outcome: the next state, or the end.

    ``state`` None keeps the state; ``multi_index`` replaces it for documents that may be in several indices.
    ``pauses``: the next action follows a back-off. ``forgets``: the cached version is wrong and is dropped.
    """

    state: State | End | None
    multi_index: State | End | None = None
    pauses: bool = False
    forgets: bool = False


_KEEP_LATER = Transition(None, pauses=True)
_REFUSED_WRITE: Mapping[Kind, Transition] = {
    Kind.REFUSED: Transition(None),
    Kind.UNUSABLE: Transition(State.UNINDEXABLE),
    Kind.TOO_LARGE: Transition(End.REJECTED),
    Kind.LATER: _KEEP_LATER,
}
_REFUSED_READ: Mapping[Kind, Transition] = {
    Kind.REFUSED: Transition(End.UNREADABLE),
    Kind.UNUSABLE: Transition(End.UNREADABLE),
    Kind.TOO_LARGE: Transition(End.UNREADABLE),
    Kind.LATER: _KEEP_LATER,
}
_GONE = Transition(State.LOCATED, State.RELOCATING, forgets=True)
_NO_INDEX = Transition(State.LOCATED, State.RELOCATING, pauses=True, forgets=True)

TRANSITIONS: Mapping[Action, Mapping[Kind, Transition]] = {
    Action.LIST: {
        Kind.LISTED: Transition(None),  # see OVERRIDES
    },
    Action.LOOK_UP: {
        Kind.ABSENT: Transition(State.ABSENT),
        Kind.FOUND: Transition(State.READ),
        Kind.SEVERAL: Transition(State.HAS_COPIES),
        Kind.LATER: _KEEP_LATER,
    },
    Action.CREATE: {
        **_REFUSED_WRITE,
        Kind.DONE: Transition(End.FINISHED, State.STORED),
        Kind.CONFLICT: _GONE,
        Kind.MISSING: _NO_INDEX,
    },
    Action.CREATE_OR_READ: {
        **_REFUSED_WRITE,
        Kind.DONE: Transition(End.FINISHED, State.STORED),
        Kind.FOUND: Transition(State.READ, State.FOUND_EXISTING),
        Kind.CONFLICT: _GONE,
        Kind.MISSING: _NO_INDEX,
    },
    Action.READ: {
        **_REFUSED_READ,
        Kind.FOUND: Transition(State.READ),
        Kind.MISSING: Transition(End.FINISHED),
    },
    Action.VERIFY: {
        **_REFUSED_READ,
        Kind.FOUND: Transition(State.READ),
        Kind.MISSING: _GONE,
    },
    Action.REPLACE: {
        **_REFUSED_WRITE,
        Kind.DONE: Transition(End.FINISHED),
        Kind.CONFLICT: _GONE,
        Kind.MISSING: _NO_INDEX,
    },
    Action.DELETE: {
        **_REFUSED_READ,
        Kind.DONE: Transition(End.FINISHED, forgets=True),
        Kind.MISSING: Transition(End.FINISHED, forgets=True),
        Kind.CONFLICT: _GONE,
    },
    Action.REMOVE_COPY: {
        **_REFUSED_READ,
        Kind.DONE: Transition(State.HAS_COPIES),
        Kind.MISSING: Transition(State.HAS_COPIES),
        Kind.CONFLICT: _GONE,
    },
    Action.STORE_DEAD_LETTER: {
        Kind.DONE: Transition(End.FINISHED, forgets=True),
        Kind.REFUSED: Transition(End.REJECTED),
        Kind.UNUSABLE: _KEEP_LATER,
        Kind.TOO_LARGE: Transition(End.REJECTED),
        Kind.MISSING: _KEEP_LATER,
        Kind.LATER: _KEEP_LATER,
    },
}

OVERRIDES: Mapping[tuple[State, Action, Kind], Transition] = {
    (State.UNLOCATED, Action.LIST, Kind.LISTED): Transition(State.UNLOCATED),
    (State.RELOCATING, Action.LIST, Kind.LISTED): Transition(State.LISTED),
    (State.STORED, Action.LIST, Kind.LISTED): Transition(State.UNCHECKED),
    # No other copy was found: the version that was just stored is the only one.
    (State.UNCHECKED, Action.LOOK_UP, Kind.ABSENT): Transition(State.READ),
    (State.FOUND_EXISTING, Action.REPLACE, Kind.DONE): Transition(State.STORED),
    (State.HAS_COPIES, Action.REPLACE, Kind.DONE): Transition(State.HAS_COPIES),
}

LOCATING = (State.UNLOCATED, State.RELOCATING, State.LISTED, State.STORED, State.UNCHECKED)
"""States in which the writer has to find out which index has the document; in the others it sends a _bulk item."""

UNEXPECTED = _NO_INDEX
"""For an outcome that an action can't have: the document is located again, after a pause."""


def next_action(state: State, facts: Facts) -> Action | End:
    """Return the action for a document in a state."""
    for condition, action in CHOICES[state]:
        if CONDITIONS[condition](facts):
            return action
    raise AssertionError(f"{state.name} has no choice for {facts}")


def transition(state: State, action: Action, kind: Kind) -> Transition:
    """Return the transition for the outcome of an action that was chosen in a state."""
    found = OVERRIDES.get((state, action, kind))
    return found if found is not None else TRANSITIONS[action].get(kind, UNEXPECTED)


def rows() -> Iterator[tuple[State, Action, Kind, Transition]]:
    """Yield every combination of state, action and outcome that the tables name."""
    for state, choices in CHOICES.items():
        for _, action in choices:
            if isinstance(action, Action) and action in TRANSITIONS:
                for kind in TRANSITIONS[action]:
                    if (state, action, kind) != (State.UNCHECKED, Action.LOOK_UP, Kind.FOUND):
                        yield state, action, kind, transition(state, action, kind)
