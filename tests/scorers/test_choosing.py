"""Choosing: the setting, the rules file, classes of one's own, and what auto makes of a pair."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from request_logger.scoring.registry import ALIASES, ScorerError, build, parse, registered, scorer_class
from request_logger.scoring.rules import Chooser
from scorers.auto import SCORERS, scorer_name
from scorers.base import Row, Scorer, UnscorableError
from scorers.binary import Binary
from scorers.multiclass import Multiclass
from tests.scorers.test_binary import VALUES

HERE = "tests.scorers.legacy_classes"


@pytest.mark.parametrize(
    ("truth", "prediction", "names", "scorer"),
    [
        (1, 0.2, (), "binary"),
        (True, False, (), "binary"),
        ("1", "0", (), "binary"),
        ([[1]], [[0.4]], (), "binary"),
        (0, [0.2, 0.8], (), "binary"),
        ("yes", [0.2, 0.8], ("no", "yes"), "binary"),
        ("yes", [0.2, 0.8], (), "binary"),
        ("maybe", [0.2, 0.8], ("no", "yes"), "multiclass"),
        (2, [0.2, 0.8], ("1", "2"), "binary"),
        (7, [0.2, 0.8], (), "multiclass"),
        ([0, 1], [0.2, 0.8], (), "binary"),
        ([0, 1], [-0.2, 3.8], (), "binary"),
        ([0.3, 0.7], [0.2, 0.8], (), "binary"),
        (3, 4, (), "multiclass"),
        (3.0, "4", (), "multiclass"),
        (0, 2, (), "multiclass"),
        ("cat", "dog", (), "multiclass"),
        ("cat", 3, (), "multiclass"),
        ("very good", "not bad", (), "multiclass"),
        (2, [0.1, 0.2, 0.7], (), "multiclass"),
        ("cat", [0.1, 0.2, 0.7], ("a", "b", "cat"), "multiclass"),
        ([0, 0, 1], [0.1, 0.2, 0.7], (), "multiclass"),
        ([0, 0, 1], [-1, 2, 7], (), "multiclass"),
        ([0, 0, 1], [0, 0, 0, 1], (), "multiclass"),
        ("cat", {"cat": 0.9, "dog": 0.1}, (), "multiclass"),
        ([0, 1, 1], [0.1, 0.8, 0.7], (), "multilabel"),
        ([0, 0, 0], [0.1, 0.8, 0.1], (), "multilabel"),
        ([0, 0, 1], [0.1, 0.8, 0.7], (), "multilabel"),
        (["a", "b"], ["b"], (), "multilabel"),
        (["a"], [0.1, 0.8], ("a", "b"), "multilabel"),
        (["a"], "a", (), "multilabel"),
        (3.2, 3, (), "regression"),
        (3, 3.5, (), "regression"),
        ("3.2", "3.5", (), "regression"),
        (1, 1.5, (), "regression"),
        ([3.2, 1.5], [3, 2], (), "regression"),
        ([10, 20, 30], [11, 19, 30], (), "regression"),
        ("a", ["a", "b", "c"], (), "ranking"),
        ({"a": 1, "b": 3}, ["b", "a"], (), "ranking"),
        ("The answer is that it depends on you", "It depends", (), "text"),
        ("x" * 65, "x", (), "text"),
        ("x", "line\nline", (), "text"),
        ([None, 1], [0.1, 0.9], (), "binary"),
        (None, 3, (), "multiclass"),
        (float("nan"), float("nan"), (), "regression"),
    ],
)
def test_auto(truth: object, prediction: object, names: tuple[str, ...], scorer: str) -> None:
    """Each row of the table of auto."""
    assert scorer_name(Row(truth), Row(prediction, names)) == scorer
    assert Chooser().choose("ns", "dep", "pred", "model", Row(truth), Row(prediction, names)).name == scorer


def test_scorers_that_are_named(tmp_path: Path) -> None:
    """Those of SCORER and of the rules, which are told of at the start; auto names none."""
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - deployment: a*\n    scorer: multiclass\n  - deployment: b*\n    scorer: binary\n")
    assert Chooser().scorers == ()
    assert Chooser("binary").scorers == (Binary(),)
    assert Chooser("auto", str(rules)).scorers == (Multiclass(), Binary())
    assert Chooser("binary:threshold=0.3", str(rules)).scorers == (Binary(threshold=0.3), Multiclass(), Binary())


def test_no_truth_is_reward() -> None:
    """Whatever the settings say."""
    for setting in ("auto", "binary"):
        assert Chooser(setting).choose("", "", "", "", None, Row(1)).name == "reward"
        assert Chooser(setting).choose("", "", "", "", Row(1), None).name == "reward"


@given(truth=VALUES, prediction=VALUES)
def test_auto_never_raises(truth: object, prediction: object) -> None:
    """A pair that can't be scored is said so by its scorer, and by nothing else than UnscorableError."""
    name = scorer_name(Row(truth), Row(prediction))
    assert name in SCORERS
    scorer = build(name, {})
    try:
        assert isinstance(scorer.score(Row(truth), Row(prediction)), dict)
    except UnscorableError as error:
        assert str(error)


def test_built_in_scorers_are_registered_as_a_strangers_are() -> None:
    """All eight are entry points, and each is a scorer."""
    names = {"binary", "multiclass", "multilabel", "ordinal", "ranking", "regression", "reward", "text"}
    assert names <= set(registered())
    for name in names:
        scorer = build(name, {})
        assert isinstance(scorer, Scorer)
        assert scorer.name == name
        metric_names = [metric.name for metric in scorer.metrics]
        assert len(set(metric_names)) == len(metric_names)


@pytest.mark.parametrize(
    ("setting", "scorer"),
    [
        ("multiclass", Multiclass()),
        (" binary ", Binary()),
        ("binary:threshold=0.3", Binary(threshold=0.3)),
        ("binary:threshold=1, logits=true", Binary(threshold=1, logits=True)),
        ("binary:classes=no|yes,positive_label=no", Binary(classes=("no", "yes"), positive_label="no")),
        ("multiclass:classes=a|b|c", Multiclass(classes=("a", "b", "c"))),
        ("scorers.binary.Binary:threshold=0.3", Binary(threshold=0.3)),
        *((alias, build(name, {})) for alias, name in ALIASES.items()),
    ],
)
def test_setting(setting: str, scorer: Scorer) -> None:
    """A name, a name with options, a dotted path, a class of the MetricsServer."""
    assert Chooser(setting).choose("", "", "", "", Row(1.5), Row(1.2)) == scorer


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("multiclas", "SCORER: unknown scorer 'multiclas': there are binary, multiclass"),
        ("binary:treshold=0.3", "unknown option 'treshold': Binary has classes, logits, positive_label"),
        ("binary:threshold=high", "option threshold must be float, not 'high'"),
        ("binary:threshold=3", "option threshold must be a number from 0 to 1, not 3"),
        ("binary:threshold", "expected option=value, found 'threshold'"),
        ("binary:logits=maybe", "option logits must be bool or null, not 'maybe'"),
        ("no.such.module.Class", "can't be imported: No module named 'no'"),
        ("scorers.binary.Missing", "can't be imported: module 'scorers.binary' has no attribute 'Missing'"),
        (f"{HERE}.NoScorer", "is not a class with a method score or transform"),
        ("scorers.base.ratio", "is not a class"),
        (f"{HERE}.Plain:speed=2", "unexpected keyword argument 'speed'"),
    ],
)
def test_wrong_setting(setting: str, text: str) -> None:
    """It is said at start what is wrong."""
    with pytest.raises(ScorerError, match=r"^SCORER: ") as error:
        Chooser(setting)
    assert text in str(error.value)


def test_options_of_a_class_that_is_no_dataclass() -> None:
    """They go to its constructor."""
    assert Chooser(f"{HERE}.Plain:factor=3").choose("", "", "", "", Row(1), Row(1)).score(Row(1), Row(1)) == {
        "factor": 3
    }
    assert parse("binary") == ("binary", {})


RULES = """
rules:
  - {namespace: prod-*, deployment: "fraud-?", scorer: binary, options: {threshold: 0.3, positive_label: fraud}}
  - {deployment: fraud-*, model: "*-v2", scorer: multiclass, options: {classes: [a, b]}}
  - {predictor: canary, scorer: auto}
  - {namespace: prod-*, scorer: regression}
"""


def test_rules(tmp_path: Path) -> None:
    """The first rule whose globs match wins; SCORER is for the rest."""
    path = tmp_path / "scorers.yaml"
    path.write_text(RULES)
    chooser = Chooser("text", str(path))

    def chosen(namespace: str, deployment: str, predictor: str, model: str) -> Scorer:
        return chooser.choose(namespace, deployment, predictor, model, Row(3), Row(4))

    assert chosen("prod-a", "fraud-1", "default", "m") == Binary(threshold=0.3, positive_label="fraud")
    assert chosen("prod-a", "fraud-10", "default", "m-v2") == Multiclass(classes=("a", "b"))
    assert chosen("prod-a", "fraud-10", "default", "m").name == "regression"
    assert chosen("test", "x", "canary", "m").name == "multiclass"
    assert chosen("test", "x", "default", "m").name == "text"
    assert chosen("PROD-a", "x", "default", "m").name == "text"


WRONG_RULES = """
rule: []
rules:
  - {deployment: a, scorer: binry}
  - {deployment: b, scorer: binary, options: {threshold: high, speed: 1}}
  - {deploymnt: c, scorer: binary}
  - {deployment: 7, scorer: binary}
  - {deployment: e}
  - [binary]
  - {scorer: auto, options: {threshold: 1}}
  - {scorer: binary, options: [1]}
  - {scorer: 3}
  - {scorer: ordinal, options: {classes: [a]}}
  - {scorer: ordinal, options: {classes: low}}
"""


def test_all_problems_of_the_file_are_reported_at_once(tmp_path: Path) -> None:
    """Each with file, rule and key."""
    path = tmp_path / "scorers.yaml"
    path.write_text(WRONG_RULES)
    with pytest.raises(ScorerError) as error:
        Chooser("binry", str(path))
    lines = [line.replace(str(path), "F") for line in str(error.value).splitlines()]
    expected = [
        "SCORER: unknown scorer 'binry'",
        "F: unknown key 'rule'",
        "F: rule 1: unknown scorer 'binry'",
        "F: rule 2: option threshold must be float, not 'high'",
        "F: rule 2: unknown option 'speed'",
        "F: rule 3: unknown key 'deploymnt': there are deployment, model,",
        "F: rule 4: deployment must be text, not 7: put it in quotes",
        "F: rule 5: scorer is missing",
        "F: rule 6: must be a mapping, not ['binary']",
        "F: rule 7: auto has no options",
        "F: rule 8: options must be a mapping",
        "F: rule 9: scorer must be text, not 3",
        "F: rule 10: option classes must have 2 or more names",
        "F: rule 11: option classes must be tuple, not 'low'",
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)


@pytest.mark.parametrize("content", ["- a", "rules: 3", "", "rules:", "text", "rule: []"])
def test_a_file_that_is_no_rules(tmp_path: Path, content: str) -> None:
    """The line says what the file must be."""
    path = tmp_path / "scorers.yaml"
    path.write_text(content)
    with pytest.raises(ScorerError) as error:
        Chooser("auto", str(path))
    assert str(error.value) == f"{path}: must be a mapping with a list of rules under the key rules"


@pytest.mark.parametrize("content", [b"rules: [", b"rules: \xff"])
def test_a_file_that_is_no_yaml(tmp_path: Path, content: bytes) -> None:
    """The parser's words are one line."""
    path = tmp_path / "scorers.yaml"
    path.write_bytes(content)
    with pytest.raises(ScorerError, match=rf"^{path}: is not YAML: \S.*\S$") as error:
        Chooser("auto", str(path))
    assert "\n" not in str(error.value)


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    """The system's reason is in the line."""
    path = tmp_path / "missing.yaml"
    with pytest.raises(ScorerError) as error:
        Chooser("auto", str(path))
    assert str(error.value) == f"{path}: can't be read: No such file or directory"


def test_legacy_class() -> None:
    """A class of the MetricsServer works by its dotted path: each of its metrics is a field that sums up."""
    scorer = Chooser(f"{HERE}.HitsByClass").choose("", "", "", "", Row(1), Row(1))
    assert scorer.name == "legacy"
    assert scorer.score(Row(1), Row([1])) == {
        "counter__hits__class__CLASS_1": 1.0,
        "counter__calls": 3.0,
        "gauge__error_rate": 0.25,
        "timer__seconds": 12.5,
        "series": [
            '{"key":"hits","tags":{"class":"CLASS.1"},"type":"COUNTER"}',
            '{"key":"calls","tags":{},"type":"COUNTER"}',
            '{"key":"error rate","tags":{},"type":"GAUGE"}',
            '{"key":"seconds","tags":{},"type":"TIMER"}',
        ],
    }


def test_legacy_class_gets_arrays_of_one_row() -> None:
    """As the MetricsServer gave them: (1, columns) of a row, (1,) of a scalar or a text."""
    scorer = build(f"{HERE}.WidthOfRow", {})
    assert scorer.score(Row(1), Row([0.1, 0.9]))["counter__shape_1x2"] == 1.0
    assert scorer.score(Row(1), Row("a"))["counter__shape_1"] == 1.0


@pytest.mark.parametrize(
    ("truth", "text"),
    [
        (9, "Fails.transform failed: ZeroDivisionError"),
        (1, "of type dict"),
        (2, "not a metric"),
        (3, "no COUNTER, GAUGE or TIMER"),
    ],
)
def test_legacy_class_that_fails(truth: int, text: str) -> None:
    """Its error makes the pair unscorable, and does not stop the logger."""
    scorer = build(f"{HERE}.Fails", {})
    assert scorer.score(Row(0), Row(1)) == {}
    with pytest.raises(UnscorableError, match=text):
        scorer.score(Row(truth), Row(1))


def test_a_class_is_imported_once() -> None:
    """The hot path asks no entry points."""
    assert scorer_class("binary") is scorer_class("binary") is Binary
    assert registered() is registered()
