"""Chooses the scorer of a pair: by the rules of the file SCORERS_CONFIG, then by the setting SCORER."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from inspect import getattr_static
from pathlib import Path
from typing import Any

import yaml

from request_logger.payloads.flat import Flat
from request_logger.scoring.evidence import Origin
from request_logger.scoring.known_evidence import ByPair, Evidences
from request_logger.scoring.registry import AUTO, ScorerError, build, parse
from scorers.auto import SCORERS, Decision, response_scorer_name
from scorers.base import Row, Scorer
from scorers.forms import Form, form_of
from scorers.reward import Reward

_GLOBS = ("namespace", "deployment", "predictor", "model")
_KEYS = frozenset({*_GLOBS, "scorer", "options"})

_PROBABILITIES = Decision("binary", probabilities=True)

FlatOf = Callable[[str, str, str, str], Flat]
"""Says what a flat array is to the scorer of a namespace, deployment, predictor and model."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the file: globs for namespace, deployment, predictor and model, and the scorer (None: ``auto``)."""

    globs: tuple[str, str, str, str]
    scorer: Scorer | None


class Chooser:
    """Chooses the scorer of a pair. Thread-safe.

    ``scorer`` is the setting SCORER: ``auto``, a name (``multiclass``), a name with options
    (``binary:threshold=0.3,classes=no|yes``) or a dotted path to a class. ``config`` is the path of a YAML file::

        rules:
          - namespace: prod-*
            deployment: fraud-*
            scorer: binary
            options: {threshold: 0.3, positive_label: fraud}

    The keys ``namespace``, ``deployment``, ``predictor`` and ``model`` are globs, by default ``*``; the first matching
    rule is used, and SCORER if no rule matches. ``auto`` decides by the ``evidence`` of the deployment, without any by
    the pair alone. Raises ScorerError with all problems, one per line.
    """

    def __init__(self, scorer: str = AUTO, config: str | None = None, evidence: Evidences | None = None) -> None:
        problems: list[str] = []
        self._default = _from_setting(scorer, problems)
        self._rules = _read(Path(config), problems) if config else ()
        if problems:
            raise ScorerError("\n".join(problems))
        self._reward = Reward()
        # Events come from few deployments, each many times.
        self._fixed = lru_cache(maxsize=1024)(self._match)
        self.flat_of: FlatOf = lru_cache(maxsize=1024)(self._flat_to)
        """Returns what a flat array of numbers is to the scorer of a deployment: one row, if its class says so."""
        self._auto: dict[Decision, Scorer] = {Decision(name): build(name, {}) for name in SCORERS}
        self._auto[_PROBABILITIES] = build("binary", {"probabilities": True})
        self._evidence = evidence or ByPair()

    def choose(
        self,
        namespace: str,
        deployment: str,
        predictor: str,
        model: str,
        truth: Row | None,
        prediction: Row | None,
    ) -> Scorer:
        """Return the scorer for a pair: ``reward`` without a truth, else by rule, by SCORER, or by evidence and form.

        The same arguments and evidence always give the same scorer. Never raises: for a pair that can't be scored, it
        returns a scorer whose UnscorableError has the reason.
        """
        if truth is None or prediction is None:
            return self._reward
        fixed = self._fixed(namespace, deployment, predictor, model)
        if fixed is not None:
            return fixed
        origin = (namespace, deployment, predictor, model)
        return self._auto[self._evidence.decision(origin, form_of(truth, prediction))]

    def choose_for_response(
        self, namespace: str, deployment: str, predictor: str, model: str, prediction: Row
    ) -> Scorer | None:
        """Return the scorer that reads a response by itself; None where `auto` needs the truth to choose one.

        The same arguments always give the same scorer. Never raises.
        """
        fixed = self._fixed(namespace, deployment, predictor, model)
        if fixed is not None:
            return fixed
        name = response_scorer_name(prediction)
        if name is None:
            return None
        if name == "binary" and isinstance(prediction.value, list):
            # Two columns: in a deployment of more classes they are read as its pairs are.
            return self._auto[self._evidence.decision((namespace, deployment, predictor, model), Form.PAIR)]
        return self._auto[Decision(name)]

    def observe(self, id: str, origin: Origin, truth: Row | None, prediction: Row | None) -> None:
        """Take notice of a prediction's pair, if ``auto`` chooses its scorer. Never raises, never waits."""
        if truth is None or prediction is None or self._fixed(*origin) is not None:
            return
        # A form takes far longer than the hash by which most pairs are not in the sample.
        if self._evidence.needs(origin, id):
            self._evidence.observe(origin, id, form_of(truth, prediction))

    @property
    def is_auto(self) -> bool:
        """Whether ``auto`` chooses the scorer of some deployments."""
        return self._default is None or any(rule.scorer is None for rule in self._rules)

    @property
    def scorers(self) -> tuple[Scorer, ...]:
        """The scorers that SCORER and the rules name, without those that ``auto`` chooses from."""
        named = (self._default, *(rule.scorer for rule in self._rules))
        return tuple(scorer for scorer in named if scorer is not None)

    def _flat_to(self, *origin: str) -> Flat:
        # The class's own attribute: code of a user's scorer that runs here could raise, and stop events.
        expects_rows = getattr_static(type(self._fixed(*origin)), "expects_rows", False)
        return Flat.ROW if expects_rows is True else Flat.BATCH

    def _match(self, *origin: str) -> Scorer | None:
        for rule in self._rules:
            if all(fnmatchcase(text or "", glob) for text, glob in zip(origin, rule.globs, strict=True)):
                return rule.scorer
        return self._default


def _from_setting(setting: str, problems: list[str]) -> Scorer | None:
    if setting.strip() in ("", AUTO):
        return None
    try:
        name, options = parse(setting)
        return build(name, options)
    except ScorerError as error:
        problems.extend(f"SCORER: {line}" for line in str(error).splitlines())
        return None


def _read(path: Path, problems: list[str]) -> tuple[Rule, ...]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{path}: can't be read: {error.strerror}")
        return ()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problems.append(f"{path}: is not YAML: {' '.join(str(error).split())}")
        return ()
    if not isinstance(content, dict) or not isinstance(content.get("rules"), list):
        problems.append(f"{path}: must be a mapping with a list of rules under the key rules")
        return ()
    problems.extend(f"{path}: unknown key {key!r}" for key in content if key != "rules")
    rules = []
    for position, entry in enumerate(content["rules"], start=1):
        found: list[str] = []
        rule = _rule(entry, found)
        problems.extend(f"{path}: rule {position}: {problem}" for problem in found)
        if rule is not None:
            rules.append(rule)
    return tuple(rules)


def _rule(entry: Any, problems: list[str]) -> Rule | None:
    if not isinstance(entry, Mapping):
        problems.append(f"must be a mapping, not {entry!r}")
        return None
    problems.extend(f"unknown key {key!r}: there are {', '.join(sorted(_KEYS))}" for key in entry if key not in _KEYS)
    for key in _GLOBS:
        if not isinstance(entry.get(key, "*"), str):
            problems.append(f"{key} must be text, not {entry[key]!r}: put it in quotes")
    name, options = entry.get("scorer"), entry.get("options") or {}
    if not isinstance(name, str):
        problems.append("scorer is missing" if name is None else f"scorer must be text, not {name!r}")
        return None
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        problems.append(f"options must be a mapping of names to values, not {options!r}")
        return None
    scorer = None
    if name != AUTO:
        try:
            scorer = build(name, options)
        except ScorerError as error:
            problems.extend(str(error).splitlines())
    elif options:
        problems.append("auto has no options")
    first, second, third, fourth = (str(entry.get(key, "*")) for key in _GLOBS)
    return Rule((first, second, third, fourth), scorer)
