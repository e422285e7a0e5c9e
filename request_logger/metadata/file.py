"""METADATA_FILE: prediction schemas by deployment, in YAML or JSON, reloaded when the file changes.

    rules:
      - namespace: prod-*
        deployment: loan-*
        predictor: default
        prediction_schema:
          requests: [{name: Years, type: REAL}, ...]
          responses: [...]

``namespace``, ``deployment`` and ``predictor`` are globs, by default ``*``; the first matching rule is used.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from request_logger.metadata.schema import MetadataError, Schema, parse_schema

log = logging.getLogger(__name__)

CHECK_SECONDS = 1.0
"""The interval between two checks whether the file has changed."""
# Deployments whose rule is cached.
_CACHE_SIZE = 1024

_GLOBS = ("namespace", "deployment", "predictor")
_KEYS = (*_GLOBS, "prediction_schema")


@dataclass(frozen=True, slots=True)
class _Rule:
    globs: tuple[str, ...]
    schema: Schema


class MetadataFile:
    """The rules of one file. Thread-safe.

    Raises MetadataError if the file can't be read or a rule is wrong: one line per problem, with file, rule and key.
    If the file becomes wrong later, an error is logged once, and the last valid rules stay in use.
    """

    def __init__(self, path: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = Path(path)
        self._clock = clock
        self._lock = threading.Lock()
        # Before the file is read: a change in between causes another read instead of being missed.
        self._version = _version(self._path)
        self._find = _finder(_read(self._path))
        self._next_check = clock() + CHECK_SECONDS

    def schema_for(self, namespace: str, deployment: str, predictor: str) -> Schema | None:
        """Return the schema of the first matching rule, None if no rule matches."""
        if self._clock() >= self._next_check and self._lock.acquire(blocking=False):
            # Meanwhile, other threads use the current rules.
            try:
                self._reload()
            finally:
                self._next_check = self._clock() + CHECK_SECONDS
                self._lock.release()
        return self._find(namespace, deployment, predictor)

    def _reload(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version
        try:
            self._find = _finder(_read(self._path))
        except MetadataError as error:
            log.error("METADATA_FILE is wrong, its last good rules stay in use: %s", "; ".join(str(error).splitlines()))
            return
        log.info("METADATA_FILE %s was read again", self._path)


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # A mounted ConfigMap is changed by swapping a symbolic link: the time alone may stay the same.
    return found.st_mtime_ns, found.st_size, found.st_ino


def _finder(rules: tuple[_Rule, ...]) -> Callable[[str, str, str], Schema | None]:
    @lru_cache(maxsize=_CACHE_SIZE)
    def find(*origin: str) -> Schema | None:
        for rule in rules:
            if all(fnmatchcase(text, glob) for text, glob in zip(origin, rule.globs, strict=True)):
                return rule.schema
        return None

    return find


def _read(path: Path) -> tuple[_Rule, ...]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MetadataError(f"{path}: can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise MetadataError(f"{path}: is neither YAML nor JSON: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping) or not isinstance(content.get("rules"), list):
        raise MetadataError(f"{path}: rules: expected an object with a list of rules under the key rules")
    problems = [f"{path}: {key}: unknown key, expected only rules" for key in content if key != "rules"]
    rules: list[_Rule] = []
    for position, entry in enumerate(content["rules"], start=1):
        rule, found = _rule(entry)
        rules.append(rule)
        problems.extend(f"{path}: rule {position}: {problem}" for problem in found)
    if problems:
        raise MetadataError("\n".join(problems))
    return tuple(rules)


def _rule(entry: Any) -> tuple[_Rule, list[str]]:
    if not isinstance(entry, Mapping):
        return _Rule((), Schema()), [f"expected an object, found {entry!r:.60}"]
    problems = [f"{key}: unknown key, expected {', '.join(_KEYS)}" for key in entry if key not in _KEYS]
    globs: list[str] = []
    for key in _GLOBS:
        glob = entry.get(key, "*")
        if not isinstance(glob, str):
            problems.append(f"{key}: expected text (put it in quotes), found {glob!r:.60}")
        globs.append(str(glob))
    schema, found = parse_schema(entry.get("prediction_schema"))
    problems.extend(f"prediction_schema: {problem}" for problem in found)
    return _Rule(tuple(globs), schema), problems
