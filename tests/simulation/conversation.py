"""Recorded conversations with an engine: read their files, play them to an engine, normalise answers.

A conversation is a file of ``conversations``: a name and steps. A step is a request and what each kind of engine
answered, or one ``answer`` where all kinds answer alike. Names of indices begin with ``sim-``; a run on a real engine
makes them unique. Repeated characters are written as ``<<9*400>>``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "conversations"
KINDS = ("opensearch", "elasticsearch7-oss", "elasticsearch9")

Send = Callable[[str, str, "bytes | None", Mapping[str, str]], "tuple[int, Any]"]

_RUN = re.compile(r"<<(.+?)\*(\d+)>>")
# Shorter runs stay readable, and no uuid or date contains a run of this length.
_LONG_RUN = re.compile(r"(.)\1{99,}")
_MOST_DEPTH = 50
# Keys whose values differ between runs, or that the program does not read.
_LEFT_OUT = frozenset(
    {
        "_type",
        "took",
        "ingest_took",
        "index_uuid",
        "uuid",
        "cluster_uuid",
        "cluster_name",
        "_ignored",
        "created_date_millis",
        "modified_date_millis",
    }
)
# Keys of an error object that are compared; the program does not read the others.
_OF_ERRORS = ("type", "reason", "index", "caused_by", "root_cause")
_SETTINGS_LEFT_OUT = (
    "index.creation_date",
    "index.uuid",
    "index.version.",
    "index.replication.type",
    "index.routing.allocation.",
)


@dataclass(frozen=True)
class Step:
    """One request. ``lines`` is a body of JSON lines: text is sent as it is, anything else as JSON."""

    method: str
    path: str
    body: Any = None
    lines: tuple[Any, ...] | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    def raw(self) -> bytes | None:
        """Return the body as bytes."""
        if self.lines is not None:
            return "".join(f"{_text(line)}\n" for line in self.lines).encode()
        return None if self.body is None else _text(self.body).encode()

    def as_json(self) -> dict[str, Any]:
        """Return the step as it is stored in a file."""
        kept: dict[str, Any] = {"method": self.method, "path": self.path}
        if self.params:
            kept["params"] = dict(self.params)
        if self.lines is not None:
            kept["lines"] = list(self.lines)
        elif self.body is not None:
            kept["body"] = self.body
        return kept

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Step:
        """Return the step that a file stores."""
        lines = tuple(kept["lines"]) if "lines" in kept else None
        return cls(kept["method"], kept["path"], kept.get("body"), lines, kept.get("params", {}))


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return expand(text)


def expand(text: str) -> str:
    """Expand runs such as ``<<9*400>>``."""
    return _RUN.sub(lambda match: match[1] * int(match[2]), text)


def collapse(text: str) -> str:
    """Shorten runs of 100 and more of one character."""
    return _LONG_RUN.sub(lambda match: f"<<{match[1]}*{len(match[0])}>>", text)


def parsed(text: str | bytes) -> Any:
    """Parse JSON; a whole number of more than 18 digits, which not every parser can read, is given as text."""
    before = sys.getrecursionlimit()
    # Answers repeat documents that are as deeply nested as engines accept.
    sys.setrecursionlimit(max(before, 10_000))
    try:
        return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) < 19 else f"number {digits}")
    finally:
        sys.setrecursionlimit(before)


def play(steps: tuple[Step, ...], send: Send) -> Iterator[dict[str, Any]]:
    """Send the requests in order and yield the normalised answers."""
    for step in steps:
        status, answer = send(step.method, expand(step.path), step.raw(), step.params)
        yield {"status": status, "body": normalised(answer)}


def normalised(answer: Any, depth: int = 0) -> Any:
    """Return a parsed answer without values that differ between runs and without error texts."""
    if depth > _MOST_DEPTH:
        return "(deeper)"
    if isinstance(answer, dict):
        if isinstance(answer.get("type"), str) and isinstance(answer.get("reason"), (str, type(None))):
            return {key: _of_error(key, answer[key]) for key in _OF_ERRORS if key in answer}
        kept = {collapse(key): normalised(value, depth + 1) for key, value in answer.items() if key not in _LEFT_OUT}
        if depth == 0 and isinstance(kept.get("error"), str):
            kept["error"] = "*"
        if "tagline" in kept:
            version = {key: kept["version"][key] for key in ("number", "distribution") if key in kept["version"]}
            return {"version": version}
        if "timed_out" in kept and "number_of_nodes" in kept:
            return {"status": "*", "timed_out": kept["timed_out"]}
        return {key: value for key, value in kept.items() if not key.startswith(_SETTINGS_LEFT_OUT)}
    if isinstance(answer, list):
        return [normalised(value, depth + 1) for value in answer]
    if isinstance(answer, float) and answer in (float("inf"), float("-inf")):
        return f"number {answer}"
    if isinstance(answer, int) and len(str(answer)) >= 19:
        return f"number {collapse(str(answer))}"
    return collapse(answer) if isinstance(answer, str) else answer


def _of_error(key: str, value: Any) -> Any:
    if key in ("reason", "caused_by"):
        return "*"
    return normalised(value) if key != "type" else value


@dataclass(frozen=True)
class Conversation:
    """Steps with the answers of each kind of engine; a kind that lacks a required feature has none."""

    name: str
    steps: tuple[Step, ...]
    answers: Mapping[str, list[dict[str, Any]]]

    def as_text(self) -> str:
        """Return the text of its file, where an answer common to all kinds is stored once."""
        entries = []
        for number, step in enumerate(self.steps):
            given = {kind: self.answers[kind][number] for kind in KINDS if kind in self.answers}
            first = next(iter(given.values()))
            alike = all(answer == first for answer in given.values())
            entries.append({**step.as_json(), **({"answer": first} if alike else {"answers": given})})
        kinds = [kind for kind in KINDS if kind in self.answers]
        # One line per step. ASCII, because answers may contain lone surrogates, which UTF-8 cannot encode.
        steps = ",\n".join(json.dumps(entry) for entry in entries)
        return f'{{"name": {json.dumps(self.name)}, "kinds": {json.dumps(kinds)}, "steps": [\n{steps}\n]}}\n'

    @classmethod
    def read(cls, path: Path) -> Conversation:
        """Return the conversation of a file."""
        kept = json.loads(path.read_text(encoding="utf-8"))
        steps = tuple(Step.from_json(entry) for entry in kept["steps"])
        answers = {
            kind: [entry["answer"] if "answer" in entry else entry["answers"][kind] for entry in kept["steps"]]
            for kind in kept["kinds"]
        }
        return cls(kept["name"], steps, answers)


def recorded() -> dict[str, Conversation]:
    """Return all recorded conversations by name."""
    found = (Conversation.read(path) for path in sorted(FOLDER.glob("*.json")))
    return {conversation.name: conversation for conversation in found}
