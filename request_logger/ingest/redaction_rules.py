"""Reads the rules of the setting REDACT: what is dropped or hashed, in the bodies of which deployments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import regex
import yaml

from request_logger.ingest.redaction_finders import PREFIX, Entity, Expression, Finder, FinderError
from request_logger.ingest.redaction_walk import Action, PathStep, Where
from request_logger.settings import SettingsError

_GLOBS = ("namespace", "deployment")
_ACTIONS: tuple[Action, ...] = ("drop", "hash")
_INLINE = re.compile(r"\s*(drop|hash):")
_STEP = re.compile(r"\.([^.\[\]*'\"\s]+)|\[(\d+)\]|\[(\*)\]|\.(\*)|\['([^']+)'\]|\[([^.\[\]*'\"\s=]+)=([^\[\]'\"]+)\]")
# Text between these is a pattern.
_SLASH = "/"


class RedactionError(SettingsError):
    """REDACT or its file is invalid; the text has one line per problem."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The actions for the bodies of some deployments: by key or column name, by JSON path, and by pattern or entity."""

    names: Mapping[str, Action] = field(default_factory=dict)
    paths: tuple[tuple[tuple[PathStep, ...], Action], ...] = ()
    patterns: tuple[tuple[Finder, Action], ...] = ()
    globs: tuple[str, str] = ("*", "*")

    def __bool__(self) -> bool:
        return bool(self.names or self.paths or self.patterns)

    @property
    def hashes(self) -> bool:
        """Whether one of the actions is hash."""
        others = (action for _, action in (*self.paths, *self.patterns))
        return "hash" in (*self.names.values(), *others)


@dataclass(slots=True)
class _Found:
    """The actions that were read so far, and every problem."""

    problems: list[str]
    names: dict[str, Action] = field(default_factory=dict)
    paths: dict[tuple[PathStep, ...], Action] = field(default_factory=dict)
    patterns: dict[Finder, Action] = field(default_factory=dict)

    def rules(self, globs: tuple[str, str] = ("*", "*")) -> Rules:
        return Rules(self.names, tuple(self.paths.items()), tuple(self.patterns.items()), globs)

    def add(self, what: str, action: Action, where: str) -> None:
        if what.startswith("$"):
            path = _path(what)
            if path is None:
                self.problems.append(
                    f"{where}: expected a path such as $.data.names, $.rows[*].name, $['a key'] or "
                    f"$.messages[role=user].content, found {what!r:.80}"
                )
            else:
                join(self.paths, [(path, action)])
        elif len(what) > 1 and what.startswith(_SLASH) and what.endswith(_SLASH):
            try:
                pattern = regex.compile(what[1:-1])
            except regex.error as error:
                self.problems.append(f"{where}: expected a regular expression in slashes ({error}), found {what!r:.80}")
                return
            if pattern.search("") is not None:
                self.problems.append(f"{where}: expected a pattern that no empty text matches, found {what!r:.80}")
            else:
                join(self.patterns, [(Expression(pattern), action)])
        elif what.startswith(PREFIX):
            try:
                join(self.patterns, [(Entity(what.removeprefix(PREFIX)), action)])
            except FinderError as error:
                self.problems.append(f"{where}: {error}; found {what!r:.80}")
        else:
            join(self.names, [(what, action)])


def join(known: dict[Any, Action], found: Any) -> None:
    """Add actions to those that are known: drop takes precedence over hash."""
    for what, action in found:
        if known.get(what) != "drop":
            known[what] = action


def read(setting: str, problems: list[str]) -> tuple[Rules, ...]:
    """Return the rules of REDACT: those in its text, or those of the YAML file that it names."""
    setting = setting.strip()
    if _INLINE.match(setting):
        return (_inline(setting, problems),)
    return _read_file(Path(setting), problems) if setting else ()


def _inline(setting: str, problems: list[str]) -> Rules:
    found = _Found(problems)
    for entry in filter(None, map(str.strip, setting.split(","))):
        action, colon, what = entry.partition(":")
        if not colon or action not in _ACTIONS or not what.strip():
            problems.append(
                "REDACT: expected drop:NAME or hash:NAME (or $.a.path, /a pattern/, presidio:ENTITY), "
                f"found {entry!r:.80}"
            )
        else:
            found.add(what.strip(), action, "REDACT")
    return found.rules()


def _path(text: str) -> tuple[PathStep, ...] | None:
    """Parse a JSON path of names, positions, ``[*]`` and ``[name=text]``; None for any other text and for the root."""
    steps: list[PathStep] = []
    position = 1
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return None
        name, number, star, other_star, quoted, key, value = match.groups()
        steps.append(
            Where(key, value) if key else None if star or other_star else int(number) if number else name or quoted
        )
        position = match.end()
    return tuple(steps) or None


def _read_file(path: Path, problems: list[str]) -> tuple[Rules, ...]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"REDACT: {path}: can't be read ({error.strerror}); rules start with drop: or hash:")
        return ()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problems.append(f"{path}: is not YAML: {' '.join(str(error).split())}")
        return ()
    if not isinstance(content, dict) or not isinstance(content.get("rules"), list) or len(content) > 1:
        problems.append(f"{path}: must be a mapping with a list of rules under the key rules, and nothing else")
        return ()
    return tuple(
        _rule(entry, f"{path}: rule {position}", problems) for position, entry in enumerate(content["rules"], start=1)
    )


def _rule(entry: Any, where: str, problems: list[str]) -> Rules:
    if not isinstance(entry, Mapping):
        problems.append(f"{where}: must be a mapping, not {entry!r:.80}")
        return Rules()
    known = (*_GLOBS, *_ACTIONS)
    problems.extend(
        f"{where}: unknown key {key!r:.80}: there are {', '.join(known)}" for key in entry if key not in known
    )
    found = _Found(problems)
    for action in _ACTIONS:
        listed = entry.get(action, [])
        if not isinstance(listed, list) or not all(isinstance(what, str) and what for what in listed):
            problems.append(
                f"{where}: {action} must be a list of names, paths and patterns as text, not {listed!r:.80}"
            )
            continue
        for what in listed:
            found.add(what, action, f"{where}: {action}")
    for key in _GLOBS:
        if not isinstance(entry.get(key, "*"), str):
            problems.append(f"{where}: {key} must be text, not {entry[key]!r:.80}: put it in quotes")
    rules = found.rules((str(entry.get("namespace", "*")), str(entry.get("deployment", "*"))))
    if not rules:
        problems.append(f"{where}: expected something under drop or hash")
    return rules
