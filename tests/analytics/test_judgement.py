"""The judgement on the documents of each model: what is refused, what is noted, and the commands."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from request_logger.analytics.consistency import Group, judgement_of
from request_logger.scoring.registry import build
from scorers.reasons import Reason

ORIGIN = (("namespace", "prod"), ("deployment", "fraud"))


def group(scorer: str = "binary", scored: int = 1000, origin: Any = ORIGIN, **other: Any) -> Group:
    having = {"correct": scored, "log_loss": scored, "reciprocal_rank": 0, "ranked_probability_score": 0}
    having |= other.pop("having", {})
    fields = {"blocked": {}, "by_column": 0, "by_name": 0, **other}
    return Group(origin, scorer, scored, having=having, **fields)


def test_nothing_to_say() -> None:
    """All alike, whatever they are: with probabilities, without, with names, without."""
    alike = [
        group(),
        group(origin=(("deployment", "b"),), having={"log_loss": 0}),
        group(origin=(("deployment", "c"),), by_column=10),
        group(origin=(("deployment", "d"),), by_name=10),
    ]
    judgement = judgement_of(alike)
    assert (judgement.reasons, judgement.fields, judgement.notes) == ({}, {}, [])
    metrics = build("binary", {}).metrics
    assert judgement.kept("binary", metrics) == metrics


@pytest.mark.parametrize(("blocked", "is_refused"), [(10, False), (11, True), (5000, True)])
def test_pairs_of_one_kind_that_are_unscorable(blocked: int, is_refused: bool) -> None:
    """Up to 1 % is a note, more is a reason for no figures; both have the command."""
    judgement = judgement_of([group(scored=990, blocked={str(Reason.POSITIVE_UNKNOWN): blocked})])
    (text,) = judgement.notes or judgement.reasons.values()
    assert bool(judgement.reasons) is is_refused
    assert text.startswith(
        f"{blocked:,} of {990 + blocked:,} pairs can't be scored by binary: {Reason.POSITIVE_UNKNOWN}"
    )
    assert "rescore --namespace prod --deployment fraud --scorer binary:positive_label=NAME" in text


@pytest.mark.parametrize(("lacking", "is_refused"), [(1, False), (2, True), (999, True)])
def test_scores_of_a_part(lacking: int, is_refused: bool) -> None:
    """Up to 0.1 % is a note; more takes the metrics of probabilities, and leaves those of answers."""
    judgement = judgement_of([group(having={"log_loss": 1000 - lacking})])
    metrics = build("binary", {}).metrics
    lost = {metric.name for metric in metrics} - {metric.name for metric in judgement.kept("binary", metrics)}
    assert lost == ({"log_loss", "brier", "auc", "auc_bound", "ece"} if is_refused else set())
    (note,) = judgement.notes
    assert f"{1000 - lacking} of 1,000 have log_loss" in note
    assert ("left out" in note) is is_refused
    assert "--scorer binary:probabilities=true" in note


@pytest.mark.parametrize(
    ("scorer", "having", "lost", "option"),
    [
        ("multiclass", {"log_loss": 500, "reciprocal_rank": 1000}, {"log_loss", "brier", "ece"}, "logits=true"),
        (
            "multiclass",
            {"log_loss": 500, "reciprocal_rank": 500},
            {"log_loss", "brier", "ece", "mrr", "top_1_accuracy", "top_3_accuracy", "top_5_accuracy"},
            "probabilities=true",
        ),
        ("multilabel", {"log_loss": 500}, {"log_loss", "brier"}, "indicator=true"),
        ("ordinal", {"log_loss": 0, "ranked_probability_score": 5}, {"ranked_probability_score"}, "logits=true"),
    ],
)
def test_fields_that_come_together(scorer: str, having: dict[str, int], lost: set[str], option: str) -> None:
    """Each scorer loses the metrics of the fields that some documents lack."""
    judgement = judgement_of([group(scorer, having=having)])
    metrics = build(scorer, {}).metrics
    assert {metric.name for metric in metrics} - {each.name for each in judgement.kept(scorer, metrics)} == lost
    assert f"--scorer {scorer}:{option}" in judgement.notes[0]


@pytest.mark.parametrize(
    ("scorers", "general"),
    [
        (("binary", "multiclass"), "multiclass"),
        (("multiclass", "regression", "binary"), "regression"),
        (("multilabel", "multiclass"), "multilabel"),
        (("multiclass", "text"), "text"),
        (("mine.Own", "binary"), "binary"),
    ],
)
def test_several_scorers_of_one_model(scorers: tuple[str, ...], general: str) -> None:
    """The warning names the one that reads the pairs of the others, too, and ends with the command."""
    judgement = judgement_of([group(scorer) for scorer in scorers])
    (warning,) = judgement.warnings
    assert all(f"{scorer} (1,000)" in warning for scorer in scorers)
    assert f"set SCORER or a rule to {general} first)" in warning
    assert warning.endswith(f": {group(scorers[0]).command()}.")
    assert judgement_of([group(scorer, origin=(("deployment", scorer),)) for scorer in scorers]).warnings == []


def test_names_are_quoted() -> None:
    """A command can be pasted, whatever the names are."""
    origin = (("deployment", "a b; rm -rf 'c'"), ("model", "$x"))
    (text,) = judgement_of([group(origin=origin, by_column=3, by_name=4)]).notes
    assert "names in 4 pairs, and only columns (CLASS_0) in 3" in text
    command = shlex.split(text[text.index("request-logger") : -1])
    assert command[2:] == ["--deployment", origin[0][1], "--model", "$x", "--scorer", "binary:classes=NAME|NAME"]


def test_many_models() -> None:
    """A few are named, the others counted."""
    groups = [
        group(scorer, origin=(("deployment", f"d{k}"),), by_column=1, by_name=1)
        for k in range(9)
        for scorer in ("binary", "multiclass")
    ]
    judgement = judgement_of(groups)
    assert judgement.warnings[5:] == ["4 more models were scored by several scorers each."]
    assert all("d4 and 4 more" in note for note in judgement.notes)
    assert len(judgement.notes) == 2
