"""The model engine and the real ones answer as recorded."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import KIND
from tests.simulation import random_talk
from tests.simulation.conversation import KINDS, Conversation, Step, parsed, play, recorded
from tests.simulation.model_engine import ModelEngine
from tests.simulation.record import answers_of, real_engine
from tests.simulation.script import act, bulk
from tests.simulation.scripts import SCRIPTS

RECORDED = recorded()
PAIRS = [(name, kind) for name, conversation in RECORDED.items() for kind in conversation.answers]


def model_answers(
    conversation: Conversation, kind: str, pipeline_order: Callable[[list[str]], list[str]] = list
) -> list[dict[str, Any]]:
    engine = ModelEngine(kind, now=lambda: 1_767_323_045.0, reader=parsed)
    engine.pipeline_order = pipeline_order
    return list(play(conversation.steps, engine.request))


def differences(conversation: Conversation, wanted: list[Any], found: list[Any]) -> str:
    """Describe the differences, one paragraph per step."""
    texts = []
    for number, (step, one, other) in enumerate(zip(conversation.steps, wanted, found, strict=True)):
        if one != other:
            request = json.dumps(step.as_json())[:1500]
            lines = "\n".join(_parted(one, other, ""))
            texts.append(f"step {number}: {request}\n{lines}")
    return "\n\n".join(texts)


def _parted(one: Any, other: Any, path: str) -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        pairs = [(f"{path}.{key}", one.get(key, "(nothing)"), other.get(key, "(nothing)")) for key in keys]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [(f"{path}[{number}]", *pair) for number, pair in enumerate(zip(one, other, strict=True))]
    else:
        return [f"  {path}: recorded {json.dumps(one)[:400]}, found {json.dumps(other)[:400]}"]
    return [line for inner, was, found in pairs if was != found for line in _parted(was, found, inner)]


def test_every_script_is_recorded_for_each_of_its_kinds() -> None:
    assert {script.name for script in SCRIPTS} == set(RECORDED)
    assert {kind for _, kind in PAIRS} == set(KINDS)
    for script in SCRIPTS:
        kept = [step.as_json() for step in RECORDED[script.name].steps]
        assert json.loads(json.dumps([step.as_json() for step in script.steps])) == kept, f"record {script.name} anew"
        assert set(RECORDED[script.name].answers) == set(script.kinds), f"record {script.name} anew"


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_the_model_answers_as_recorded(name: str, kind: str) -> None:
    conversation = RECORDED[name]
    wanted = conversation.answers[kind]
    found = model_answers(conversation, kind)
    if wanted != found:
        pytest.fail(differences(conversation, wanted, found), pytrace=False)


def test_a_difference_fails() -> None:
    """The comparison finds a changed status, value, key and length, and names the step."""
    conversation = RECORDED["update"]
    wanted = conversation.answers["opensearch"]
    assert differences(conversation, wanted, wanted) == ""
    changed = json.loads(json.dumps(wanted))
    item = changed[1]["body"]["items"][0]["update"]
    item["_seq_no"] += 1
    del item["result"]
    changed[2]["status"] = 500
    changed[3]["body"]["items"] = []
    text = differences(conversation, wanted, changed)
    assert [line.split(":")[0] for line in text.splitlines() if line.startswith("step")] == [
        "step 1",
        "step 2",
        "step 3",
    ]
    for part in (
        "_seq_no: recorded 0, found 1",
        'result: recorded "noop", found "(nothing)"',
        ".status: recorded 200, found 500",
    ):
        assert part in text


@pytest.mark.engine
@pytest.mark.parametrize("name", [script.name for script in SCRIPTS if KIND in script.kinds])
def test_the_engine_answers_as_recorded(engine: Any, name: str) -> None:
    (script,) = [script for script in SCRIPTS if script.name == name]
    conversation = RECORDED[name]
    found = answers_of(script, engine.url)
    if conversation.answers[KIND] != found:
        pytest.fail(differences(conversation, conversation.answers[KIND], found), pytrace=False)


@pytest.mark.engine
@pytest.mark.skipif(KIND not in KINDS, reason="the model knows other kinds")
@pytest.mark.parametrize("seed", range(int(os.environ.get("RANDOM_TALKS", "3"))))
def test_model_and_engine_answer_alike_at_random(engine: Any, seed: int) -> None:
    """Random requests about few documents in few indices, some of them closed, blocked or aliased."""
    model = ModelEngine(KIND, now=lambda: 1_767_323_045.0, reader=parsed)
    said: list[str] = []
    with real_engine(engine.url) as real:
        for step in random_talk.steps(seed, model, 25):
            (wanted,), (found,) = play((step,), real.send), play((step,), model.request)
            said.append(f"{json.dumps(step.as_json())}\n    -> {json.dumps(wanted)[:1000]}")
            if wanted != found:
                lines = "\n".join(_parted(wanted, found, ""))
                pytest.fail("\n".join([*said, "", f"the model's answer to the last differs:\n{lines}"]), pytrace=False)


@pytest.mark.engine
@pytest.mark.skipif(KIND != "opensearch", reason="others keep the order, as the conversations show")
def test_items_that_pipelines_end_are_answered_index_by_index(engine: Any) -> None:
    """OpenSearch answers them out of order; the order of the indices depends on their names."""
    setup = [Step("PUT", "/_ingest/pipeline/sim-drop", {"processors": [{"drop": {}}]})]
    setup += [
        Step("PUT", f"/sim-{name}", {"settings": {"index.default_pipeline": "sim-drop"} if name != "c" else {}})
        for name in "abc"
    ]
    lines = [line for id, name in enumerate("abcabcab") for line in (act("create", f"sim-{name}", str(id)), {"n": 1})]
    conversation = Conversation("", (*setup, bulk(*lines)), {})
    with real_engine(engine.url) as real:
        items = list(play(conversation.steps, real.send))[-1]["body"]["items"]
    assert [item["create"]["_id"] for item in items] != sorted(item["create"]["_id"] for item in items)
    possible = [model_answers(conversation, KIND, order)[-1]["body"]["items"] for order in (sorted, _backwards)]
    assert items in possible


def _backwards(names: list[str]) -> list[str]:
    return sorted(names, reverse=True)
