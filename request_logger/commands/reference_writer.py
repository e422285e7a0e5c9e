"""The page about the writer's states, made from its tables: docs/writer.md."""

from __future__ import annotations

from collections.abc import Iterator

from request_logger.store.writing.states import CHOICES, MOVES, Action, End, Kind, State, Transition, rows

_PAGE = """\
# How a document is written

Made by `request-logger reference writer` (`make docs` writes it anew) from the tables in
`request_logger/store/writing/states.py`, which the writer works by. The theory is at the head of that module.

A document with pending changes is in one state. The state says what is known of the document in the search engine, and
decides what is done next. What the engine answers leads to the next state. *No answer* (the engine is down, or answers
nonsense) leads back to the same state after a pause; the deadline of the events ends that.
"""

_ENDS = {End.FINISHED: "[*]", End.REJECTED: "rejected", End.UNREADABLE: "unreadable"}


def writer_page() -> str:
    """Return docs/writer.md."""
    lines = [_PAGE, "```mermaid", "stateDiagram-v2", *_diagram(), "```", ""]
    lines += [
        "## States",
        "",
        "| state | what is known | what is done: the first condition that holds |",
        "|---|---|---|",
    ]
    for state, choices in CHOICES.items():
        done = "; ".join(f"{choice.condition}: {_described(choice.action)}" for choice in choices)
        lines.append(f"| {_name(state)} | {state.value} | {done.removeprefix('always: ')} |")
    lines += ["", "## Outcomes", "", "| state | request | outcome | next |", "|---|---|---|---|"]
    lines += [
        f"| {_name(state)} | {action.value} | {kind.value} | {_next(state, found)} |"
        for state, action, kind, found in rows()
    ]
    return "\n".join(lines)


def _name(state: State) -> str:
    return state.name.lower()


def _described(action: Action | End) -> str:
    if isinstance(action, End):
        return action.value
    return f"{action.value} ({_name(MOVES[action])})" if action in MOVES else action.value


def _next(state: State, found: Transition) -> str:
    targets = [_target(state, found.state)]
    if found.multi_index is not None:
        targets = [f"{targets[0]} (of one index)", f"{_target(state, found.multi_index)} (of several)"]
    return ", ".join(targets) + (", after a pause" if found.pauses else "")


def _target(state: State, target: State | End | None) -> str:
    return target.value if isinstance(target, End) else _name(target or state)


def _diagram() -> Iterator[str]:
    """Yield the arrows of the diagram: several outcomes that lead the same way are one arrow."""
    yield "  [*] --> located: one index"
    yield "  [*] --> unlocated: several indices"
    yield "  [*] --> cached: known"
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, choices in CHOICES.items():
        for _, action in choices:
            if isinstance(action, End):
                arrows.setdefault((_name(state), _ENDS[action]), []).append("nothing to do")
            elif action in MOVES:
                arrows.setdefault((_name(state), _name(MOVES[action])), []).append(_word(action))
    for state, action, kind, found in rows():
        for target in (found.state, found.multi_index):
            end = _ENDS[target] if isinstance(target, End) else _name(target or state)
            if end != _name(state):
                arrows.setdefault((_name(state), end), []).append(f"{_word(action)} {_word(kind)}")
    for (start, end), labels in arrows.items():
        yield f"  {start} --> {end}: {', '.join(dict.fromkeys(labels))}"


def _word(value: Action | Kind) -> str:
    return value.name.lower().replace("_", " ")
