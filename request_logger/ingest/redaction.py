"""Drops or hashes values before anything is stored: the setting REDACT. Pure code.

An event's body is parsed, redacted and serialised again before any decoder sees it, so that payload, instance,
elements, undecodable bodies and dead letters can't contain what a rule names. A body that can't be parsed can't be
redacted: where rules apply to its deployment, only its size is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

from request_logger.documents.event import Body, Event
from request_logger.ingest.redaction_check import LeftOutError, RedactionCheck, is_single
from request_logger.ingest.redaction_finders import Finder
from request_logger.ingest.redaction_metadata import header_name, redacted_header, redacted_metadata
from request_logger.ingest.redaction_patterns import without_patterns
from request_logger.ingest.redaction_rules import RedactionError, Rules, join, read
from request_logger.ingest.redaction_walk import Action, Hasher, HashesKept, PathStep, Walk, written
from request_logger.metadata import Schema
from request_logger.payloads import UndecodableError, bodies, decode_protobuf, is_protobuf

# A shorter key could be found by trying all of them.
LEAST_KEY_CHARACTERS = 16
UNPARSEABLE = "the body can't be parsed, and so not redacted: only its size is kept"

# Parts whose body is a single message; a feedback contains several.
_MESSAGES = ("request", "response")
_NESTED = ("request", "response", "truth")


class Redactor:
    """Redacts events by the setting REDACT: rules (``drop:customer_id,hash:email``) or the path of a YAML file::

        rules:
          - namespace: prod-*
            deployment: fraud-*
            drop: [customer_id, "$.data.names"]
            hash: [email, '/\\d{3}-\\d{2}-\\d{4}/']

    Text that starts with ``$`` is a JSON path, text between slashes a pattern, ``presidio:`` and an entity what
    presidio's recognizers find of it, other text a name. ``namespace`` and
    ``deployment`` are globs (default ``*``). All matching rules apply, and drop takes precedence over hash. ``key`` is
    the secret of the hashes. With ``strict``, messages in which a named column can't be located are left out (see
    `redaction_check`). Thread-safe. Raises RedactionError with every problem, one per line.
    """

    def __init__(self, setting: str = "", key: str = "", *, strict: bool = True) -> None:
        problems: list[str] = []
        self._rules = read(setting, problems)
        if any(rule.hashes for rule in self._rules) and len(key) < LEAST_KEY_CHARACTERS:
            problems.append(f"REDACT_KEY: expected at least {LEAST_KEY_CHARACTERS} characters, since REDACT has hash")
        if problems:
            raise RedactionError("\n".join(problems))
        self._strict = strict
        self._hasher = Hasher(key.encode())
        self._kept = HashesKept(key.encode())
        # Events come from few deployments, so the rules of each are cached.
        self._for = lru_cache(maxsize=1024)(self._match)
        self._prints = lru_cache(maxsize=1024)(self._print)

    def __bool__(self) -> bool:
        return bool(self._rules)

    def redact(
        self, event: Event, schema: Schema | None = None, *, is_schema_known: bool = True, redacted_by: str = ""
    ) -> Event:
        """Return the event with its body redacted; unchanged where no rule applies to its deployment.

        ``schema`` names columns that the body doesn't name; ``is_schema_known`` is False while it is unknown whether
        there is a schema. ``redacted_by`` is the `fingerprint` of the rules by which it is redacted already: it is not
        redacted again by the same, and values that others have hashed stay. Never raises for a body.
        """
        if not self._rules:
            return event
        rules = self._for(*_origin(event))
        if not rules or (redacted_by and redacted_by == self.fingerprint(event)):
            return event
        hasher = self._kept if redacted_by else self._hasher
        event = self._without_names(event, rules, hasher)
        body = event.body
        if body.raw is None:
            # An unkeyed hash would reveal a short or guessable body.
            return replace(event, body=replace(body, sha256=""))
        try:
            value = _parsed(body, is_response=event.part == "response")
            redacted = self._redacted(event.part, value, rules, schema, is_schema_known, hasher)
            redacted = without_patterns(redacted, rules.patterns, hasher)
        except (UndecodableError, RecursionError):
            return replace(event, body=Body(None, body.content_type, body.size, reason=UNPARSEABLE))
        except LeftOutError as error:
            return replace(event, body=Body(None, body.content_type, body.size, reason=str(error)))
        raw = written(redacted)
        return replace(event, body=Body(raw, "application/json", len(raw)))

    def fingerprint(self, event: Event) -> str:
        """Return a digest of the rules that apply to an event's deployment, empty without any.

        Other rules, and another key, have another one.
        """
        return self._prints(*_origin(event))

    def _print(self, *origin: str) -> str:
        rules = self._for(*origin)
        if not rules:
            return ""
        patterns = [(repr(finder), action) for finder, action in rules.patterns]
        known = (self._strict, sorted(rules.names.items()), sorted(map(repr, rules.paths)), sorted(patterns))
        return str(self._hasher(repr(known)))

    def _without_names(self, event: Event, rules: Rules, hasher: Hasher) -> Event:
        """Return an event with its metadata redacted."""
        if not event.extensions or event.part == "feedback":
            # Feedback has the path of its join key there.
            return event
        walk = Walk(rules.names, hasher)
        found = redacted_metadata(event.extensions, _by_header(rules), walk)
        try:
            found = without_patterns(found, rules.patterns, hasher)
        except LeftOutError:
            found = {}
        return replace(event, extensions=found or None)

    def _redacted(
        self, part: str, value: Any, rules: Rules, schema: Schema | None, is_known: bool, hasher: Hasher
    ) -> Any:
        """Return a body in a form that may be stored. Raises LeftOutError."""
        walk = Walk(rules.names, hasher)
        value = walk.by_paths(value, rules.paths)
        if part in _MESSAGES:
            return self._message(value, rules, walk, _columns(schema, part), is_known)
        if part != "feedback" or not isinstance(value, dict):
            return walk.body(value)
        nested = {
            name: (value[name], _columns(schema, name))
            for name in _NESTED
            if value.get(name) is not None and name not in rules.names
        }
        body = walk.body({name: content for name, content in value.items() if name not in nested})
        for name, (content, columns) in nested.items():
            # A truth with one value per row has no columns for a schema to name.
            known = is_known or (name == "truth" and is_single(content))
            try:
                if isinstance(content, dict):
                    body[name] = self._message(content, rules, walk, columns, known)
                else:
                    whole = self._message({"data": {"ndarray": content}}, rules, walk, columns, known)
                    body[name] = whole.get("data", {}).get("ndarray")
            except LeftOutError as error:
                body["payload_dropped"] = {"reason": str(error)}
        return body

    def _message(
        self, message: Any, rules: Rules, walk: Walk, columns: Sequence[frozenset[str]], is_known: bool
    ) -> Any:
        redacted = walk.body(message, columns)
        if not self._strict or not rules.names:
            return redacted
        return RedactionCheck(rules.names, walk, columns, is_known).message(message, redacted)

    def applies(self, namespace: str | None, deployment: str | None) -> bool:
        """Return whether rules apply to a deployment, or could apply to an unknown one (None)."""
        return bool(self._for(namespace, deployment))

    def headers(
        self, pairs: Iterable[tuple[str, bytes | None]], namespace: str | None, deployment: str | None
    ) -> tuple[tuple[str, bytes | None], ...]:
        """Return a deployment's headers redacted by name: without ``ce_`` or ``ce-``, case-insensitive, - equal to _.

        JSON values are redacted within. For an unknown deployment (None) all rules apply.
        """
        rules = self._for(namespace, deployment)
        named = _by_header(rules)
        walk = Walk(rules.names, self._hasher)
        found: list[tuple[str, bytes | None]] = []
        for name, value in pairs:
            done = named.get(header_name(name))
            if done is None and value is not None:
                text = redacted_header(name, value.decode("utf-8", "surrogateescape"), named, walk)
                try:
                    text = without_patterns(text, rules.patterns, self._hasher)
                except LeftOutError:
                    continue
                found.append((name, text.encode("utf-8", "surrogateescape")))
            elif done == "hash" and value is not None:
                found.append((name, self._hasher(value.decode("utf-8", "surrogateescape")).encode()))
            elif done is None:
                found.append((name, value))
        return tuple(found)

    def _match(self, *origin: str | None) -> Rules:
        names: dict[str, Action] = {}
        paths: dict[tuple[PathStep, ...], Action] = {}
        patterns: dict[Finder, Action] = {}
        for rule in self._rules:
            if all(text is None or fnmatchcase(text, glob) for text, glob in zip(origin, rule.globs, strict=True)):
                join(names, rule.names.items())
                join(paths, rule.paths)
                join(patterns, rule.patterns)
        return Rules(names, tuple(paths.items()), tuple(patterns.items()))


def _origin(event: Event) -> tuple[str, str]:
    """Return the namespace and the deployment that rules are chosen by."""
    return event.header.get("Ce-Namespace") or "", event.header.get("Ce-Inferenceservicename") or ""


def _by_header(rules: Rules) -> dict[str, Action]:
    """Return the actions for headers, by `header_name`."""
    named: dict[str, Action] = {}
    for name, action in rules.names.items():
        join(named, [(header_name(name), action)])
    return named


def _parsed(body: Body, *, is_response: bool) -> Any:
    """Parse a body as the decoders do; numbers that JSON can't represent become floats again, as `written` expects.

    Raises UndecodableError, also for a body that is neither an object nor a list.
    """
    raw = body.raw or b""
    if raw.startswith(bodies.GZIP):
        raw = bodies.inflate(raw, bodies.MAX_INFLATED_BYTES)
    if is_protobuf(body.content_type) and raw:
        parsed = bodies.storable(decode_protobuf(raw, is_response=is_response))
    else:
        parsed = bodies.parse(raw, body.content_type)
    value = parsed.value if parsed.value is parsed.stored else _with_floats(parsed.value, parsed.stored)
    if not isinstance(value, (dict, list)):
        raise UndecodableError("a bare value has no names to redact by")
    return value


def _with_floats(value: Any, stored: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_floats(entry, stored[key]) for key, entry in value.items()}
    if isinstance(value, list):
        return [_with_floats(entry, other) for entry, other in zip(value, stored, strict=True)]
    return float(stored) if value is None and isinstance(stored, str) else value


def _columns(schema: Schema | None, part: str) -> Sequence[frozenset[str]]:
    """Return the names of each column in a schema: its own and its group's."""
    if schema is None:
        return ()
    features = schema.requests if part == "request" else schema.responses
    return [frozenset({feature.name, name}) for feature in features for name in (feature.parts or ("",))]
