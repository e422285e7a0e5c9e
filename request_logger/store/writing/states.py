"""The life of a document with pending changes, as tables: states, what is done in each, and what follows.

The writer applies pure changes to documents that other writers change, too, over a connection that fails. For each
document that has pending changes it keeps a `State`: what is known of the copy in the search engine. Everything it
does follows from two tables:

- `CHOICES` gives the action for a state. Conditions are tried in order; the first that holds decides. An action is a
  request to the engine, a move to another state without one (`MOVES`), or the end.
- `TRANSITIONS` gives the state that follows from an action's outcome.

The tables need no engine, no clock and no thread: `next_action` and `transition` are pure functions. I/O, time and
concurrency are outside (`core`, `performing`, `writer`). The diagram in docs/architecture.md is generated from them.

**Writes never overwrite what was not read.** A new document is created, and the creation fails where there is one. An
existing document is replaced on the condition of the version (``if_seq_no``, ``if_primary_term``) that the changes were
applied to. A conflict leads back to reading, and the changes are applied to the newer version. Changes are pure and
idempotent, so an answer that was lost costs a repetition, never a wrong document.

**What is known may be old.** A version from the cache (`CACHED`) is good enough to write with, because the write is
conditional. It isn't proof that the document still exists, so changes that turn out to change nothing are acknowledged
only after a read (`VERIFY`).

**One document, several indices.** With an index per month or day (or indices left from such a setting) two writers may
create one document in two indices. After creating it, a writer lists the indices and looks for copies in all others
(`STORED`, `UNCHECKED`). Both writers first store, then list, then look, so at least one of them sees both copies; it
joins them into the oldest index and removes the others (`SPLIT`). Names with one index skip these states.

**A refusal has an end.** A document that the engine refuses is degraded: each refusal gives a form with less to refuse.
When no form is left, a dead letter is stored (`UNINDEXABLE`). A letter that can't be stored now is retried until the
event's deadline. A read that is refused can't be degraded: the plan is told (`End.UNREADABLE`) and decides.

**No answer changes nothing.** When the engine doesn't answer, says "later" or answers nonsense, the document keeps its
state and waits longer each time. The deadline of its events ends that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class State(Enum):
    """What is known of a document in the search engine; the value is its description."""

    UNPLACED = "which of several indices has it is not known"
    LOST = "it is not where it was; its indices are to be listed"
    SOUGHT = "its indices are listed; all of them are to be searched"
    PLACED = "its index is known, its version is not"
    ABSENT = "no index has it"
    CACHED = "a version is known from an earlier request and may be old"
    READ = "the engine has just answered with its version"
    MET = "a creation has found it in one index; others may have copies"
    STORED = "it was written in one index; others may have copies, and are to be listed"
    UNCHECKED = "its indices are listed; the others are to be searched for copies"
    SPLIT = "copies were found: to be joined, then removed"
    UNINDEXABLE = "the engine refused every form; a dead letter is to be stored"


class End(Enum):
    """How a document's pending changes end."""

    FINISHED = "its changes are acknowledged"
    REJECTED = "its changes fail: nothing can store them"
    UNREADABLE = "its plans are told that it can't be read"


class Action(Enum):
    """What is done next. The first group are requests, the second are moves without one."""

    LIST = "list the indices of its name"
    LOOK = "search indices for it (_mget)"
    CREATE = "create it"
    CREATE_OR_READ = "create it, or read it if it exists"
    READ = "read it"
    VERIFY = "read it to see if it still exists"
    REPLACE = "replace the known version"
    DELETE = "delete the known version"
    REMOVE_COPY = "delete a copy that was joined"
    STORE_LETTER = "store a dead letter"

    PLACE = "take the index of its day"
    CONCLUDE = "there is no index to search"
    SEEK = "search everywhere"
    CHECK = "check for copies"
    TRUST = "there is no other copy: the known version is all there is"
    GIVE_UP = "give up indexing it"


class Kind(Enum):
    """What became of a request for one document."""

    DONE = "stored or deleted"
    FOUND = "it exists; the answer has its version"
    SEVERAL = "several indices have it"
    ABSENT = "no index that was searched has it"
    LISTED = "the indices are known"
    MISSING = "there is no such document, or no such index"
    CONFLICT = "another writer was faster"
    REFUSED = "it can't be indexed in this form"
    UNUSABLE = "the index refuses every request for it"
    TOO_LARGE = "the engine takes no request of this size"
    LATER = "the engine can't take it now"


class Facts(NamedTuple):
    """What the choice of an action depends on, beside the state."""

    is_listed: bool = True
    """The list of its indices is recent."""
    has_others: bool = False
    """There are other indices that may have it, and its changes want to know."""
    is_multi_index: bool = False
    """Documents of its name may be in several indices."""
    has_copies: bool = False
    """Copies in other indices are known."""
    is_new: bool = False
    """It most likely doesn't exist yet."""
    is_empty: bool = False
    """Its changes leave no document."""
    is_unchanged: bool = False
    """Its changes leave the document as it is known."""
    accepts_known: bool = False
    """All its changes are reads that accept what is known."""
    is_exhausted: bool = False
    """Every form of it was refused."""


Condition = Callable[[Facts], bool]

CONDITIONS: Mapping[str, Condition] = {
    "always": lambda facts: True,
    "no form is left": lambda facts: facts.is_exhausted,
    "the list is old": lambda facts: not facts.is_listed,
    "others may have it": lambda facts: facts.has_others,
    "no document results, and others may have it": lambda facts: facts.is_empty and facts.is_multi_index,
    "no copy is left": lambda facts: not facts.has_copies,
    "no document results": lambda facts: facts.is_empty,
    "most likely new": lambda facts: facts.is_new,
    "unchanged, and the known version will do": lambda facts: facts.is_unchanged and facts.accepts_known,
    "unchanged": lambda facts: facts.is_unchanged,
    "unchanged, or no document results": lambda facts: facts.is_unchanged or facts.is_empty,
}


class Choice(NamedTuple):
    """One row of CHOICES: the action to take where the condition holds."""

    condition: str
    action: Action | End


CHOICES: Mapping[State, tuple[Choice, ...]] = {
    State.UNPLACED: (
        Choice("the list is old", Action.LIST),
        Choice("others may have it", Action.LOOK),
        Choice("always", Action.PLACE),
    ),
    State.LOST: (Choice("always", Action.LIST),),
    State.SOUGHT: (Choice("others may have it", Action.LOOK), Choice("always", Action.CONCLUDE)),
    State.PLACED: (
        Choice("no form is left", Action.GIVE_UP),
        Choice("no document results, and others may have it", Action.SEEK),
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
        Choice("unchanged, and the known version will do", End.FINISHED),
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
    State.MET: (
        Choice("no form is left", Action.GIVE_UP),
        Choice("unchanged, or no document results", Action.CHECK),
        Choice("always", Action.REPLACE),
    ),
    State.STORED: (Choice("always", Action.LIST),),
    State.UNCHECKED: (Choice("others may have it", Action.LOOK), Choice("always", Action.TRUST)),
    State.SPLIT: (
        Choice("no copy is left", Action.TRUST),
        Choice("no form is left", Action.GIVE_UP),
        Choice("unchanged, or no document results", Action.REMOVE_COPY),
        Choice("always", Action.REPLACE),
    ),
    State.UNINDEXABLE: (Choice("no document results", End.FINISHED), Choice("always", Action.STORE_LETTER)),
}

MOVES: Mapping[Action, State] = {
    Action.PLACE: State.PLACED,
    Action.CONCLUDE: State.ABSENT,
    Action.SEEK: State.LOST,
    Action.CHECK: State.STORED,
    Action.TRUST: State.READ,
    Action.GIVE_UP: State.UNINDEXABLE,
}


@dataclass(frozen=True, slots=True)
class Transition:
    """What follows from an outcome.

    ``state`` None keeps the state; ``spread`` is used instead where documents of the name may be in several indices.
    ``pauses``: a back-off comes first. ``forgets``: the cached version is wrong.
    """

    state: State | End | None
    spread: State | End | None = None
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
_GONE = Transition(State.PLACED, State.LOST, forgets=True)
_NO_INDEX = Transition(State.PLACED, State.LOST, pauses=True, forgets=True)

TRANSITIONS: Mapping[Action, Mapping[Kind, Transition]] = {
    Action.LIST: {
        Kind.LISTED: Transition(None),  # see OVERRIDES
    },
    Action.LOOK: {
        Kind.ABSENT: Transition(State.ABSENT),
        Kind.FOUND: Transition(State.READ),
        Kind.SEVERAL: Transition(State.SPLIT),
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
        Kind.FOUND: Transition(State.READ, State.MET),
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
        Kind.DONE: Transition(State.SPLIT),
        Kind.MISSING: Transition(State.SPLIT),
        Kind.CONFLICT: _GONE,
    },
    Action.STORE_LETTER: {
        Kind.DONE: Transition(End.FINISHED, forgets=True),
        Kind.REFUSED: Transition(End.REJECTED),
        Kind.UNUSABLE: _KEEP_LATER,
        Kind.TOO_LARGE: Transition(End.REJECTED),
        Kind.MISSING: _KEEP_LATER,
        Kind.LATER: _KEEP_LATER,
    },
}

OVERRIDES: Mapping[tuple[State, Action, Kind], Transition] = {
    (State.UNPLACED, Action.LIST, Kind.LISTED): Transition(State.UNPLACED),
    (State.LOST, Action.LIST, Kind.LISTED): Transition(State.SOUGHT),
    (State.STORED, Action.LIST, Kind.LISTED): Transition(State.UNCHECKED),
    # Only this document's own copy was found: it is the version that was just stored.
    (State.UNCHECKED, Action.LOOK, Kind.ABSENT): Transition(State.READ),
    (State.MET, Action.REPLACE, Kind.DONE): Transition(State.STORED),
    (State.SPLIT, Action.REPLACE, Kind.DONE): Transition(State.SPLIT),
}

LOCATING = (State.UNPLACED, State.LOST, State.SOUGHT, State.STORED, State.UNCHECKED)
"""States in which it is to be found out where the document is; in the others a request goes into a _bulk."""

UNEXPECTED = _NO_INDEX
"""For an outcome that an action can't have: the document is looked for anew, after a pause."""


def next_action(state: State, facts: Facts) -> Action | End:
    """Return what to do for a document in a state."""
    for condition, action in CHOICES[state]:
        if CONDITIONS[condition](facts):
            return action
    raise AssertionError(f"{state.name} has no choice for {facts}")


def transition(state: State, action: Action, kind: Kind) -> Transition:
    """Return what follows from an outcome of an action that was chosen in a state."""
    found = OVERRIDES.get((state, action, kind))
    return found if found is not None else TRANSITIONS[action].get(kind, UNEXPECTED)


def rows() -> Iterator[tuple[State, Action, Kind, Transition]]:
    """Yield every combination of state, action and outcome that the tables name."""
    for state, choices in CHOICES.items():
        for _, action in choices:
            if isinstance(action, Action) and action in TRANSITIONS:
                for kind in TRANSITIONS[action]:
                    if (state, action, kind) != (State.UNCHECKED, Action.LOOK, Kind.FOUND):
                        yield state, action, kind, transition(state, action, kind)
