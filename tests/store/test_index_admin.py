"""Preparing indices over any request function: what is sent, and what each answer to it leads to. No engine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count, pairwise
from typing import Any

import pytest

from request_logger.common.mapped_fields import ORIGIN
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.indices import templates
from request_logger.store.indices.admin import MAX_TEMPLATE_PAUSE_SECONDS, RETRY_SECONDS
from request_logger.store.indices.mapping_check import field_types
from tests.store import garbage
from tests.store.scripted_engine import BLOCKED, DONE, FORBIDDEN, INDEX, Answer, Scripted
from tests.store.test_responses import error


@pytest.fixture
def engine() -> Scripted:
    return Scripted()


def test_a_new_index(engine: Scripted) -> None:
    """The templates first, then the index; nothing more for a second one that is there."""
    assert engine.admin.prepare(INDEX)
    assert set(engine.templates) == {templates.TEMPLATE_NAME, templates.DEAD_LETTER_INDEX}
    assert engine.sent[-3:] == [("GET", f"/{INDEX}/_mapping"), ("PUT", f"/{INDEX}"), ("GET", f"/{INDEX}/_mapping")]
    engine.sent.clear()
    assert engine.admin.prepare(INDEX)
    assert engine.sent == [("GET", f"/{INDEX}/_mapping")]


STEPS: list[tuple[tuple[str, str], Callable[[], list[Any]]]] = [
    (("GET", "template"), garbage.templates),
    (("PUT", "template"), garbage.acknowledgements),
    (("POST", "_search"), garbage.searches),
    (("DELETE", "index"), garbage.acknowledgements),
    (("GET", "_mapping"), lambda: garbage.mappings(INDEX)),
    (("PUT", "index"), garbage.acknowledgements),
    (("GET", "_settings"), lambda: garbage.settings(INDEX)),
    (("PUT", "_settings"), garbage.acknowledgements),
    (("PUT", "_mapping"), garbage.acknowledgements),
]


@pytest.mark.parametrize(("step", "answers"), STEPS, ids=[" ".join(step) for step, _ in STEPS])
@pytest.mark.parametrize("status", [200, 302, 401, 404, 429, 502])
def test_garbage_at_each_step_is_unavailable(
    step: tuple[str, str], answers: Callable[[], list[Any]], status: int
) -> None:
    """Whatever comes instead of an answer, the next try is as good as the first."""
    for answer in answers() if status == 200 else garbage.PAGES:
        engine = Scripted()
        if step[1].startswith("_") and step != ("GET", "_mapping"):
            engine.mappings[INDEX] = {}
        engine.answers[step] = status, answer
        with pytest.raises(StoreUnavailableError):
            engine.admin.prepare(INDEX)
        engine.answers.clear()
        assert engine.admin.prepare(INDEX)
        assert templates.additions(engine.mappings[INDEX]) == {}


@pytest.mark.parametrize("step", [step for step, _ in STEPS], ids=" ".join)
@pytest.mark.parametrize("answer", [BLOCKED, FORBIDDEN], ids=["blocked", "forbidden"])
def test_a_refusal_at_each_step(
    engine: Scripted, step: tuple[str, str], answer: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    """It is never an error; it is said once, and a block is looked at again after a pause: not at each call."""
    if step[1].startswith("_") and step != ("GET", "_mapping"):
        engine.mappings[INDEX] = {}
    engine.answers[step] = answer
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            done = engine.admin.prepare(INDEX)
            engine.now += RETRY_SECONDS / 5
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said)) <= 2
    asked_only = (("GET", "template"), ("GET", "_settings"), ("POST", "_search"))
    assert bool(said) == (step not in asked_only)
    is_harmless = step in (*asked_only, ("PUT", "_settings"), ("DELETE", "index"))
    assert done == (is_harmless or (answer is FORBIDDEN and step != ("PUT", "index")))
    if not done:
        # The first, and one in RETRY_SECONDS.
        assert engine.asked("GET", f"/{INDEX}/_mapping") <= 11
    engine.answers.clear()
    engine.now += RETRY_SECONDS
    assert engine.admin.prepare(INDEX)
    assert templates.additions(engine.mappings[INDEX]) == {}


def test_without_keyword_subfields() -> None:
    """Only the fields that the logger's own queries use have one; no other type changes."""
    template = templates.wanted(Settings(keyword_subfields=False))[templates.TEMPLATE_NAME]["template"]["mappings"]
    with_subfields = {name for name, field in template["properties"].items() if "fields" in field}
    assert {"RequestId", *ORIGIN.values()} <= with_subfields
    assert not any("fields" in field for field in template["properties"]["request"]["properties"].values())
    assert not any("fields" in rule["mapping"] for rules in template["dynamic_templates"] for rule in rules.values())
    assert field_types(template) == field_types(templates.mapping())


def test_an_index_that_is_never_there(engine: Scripted) -> None:
    """An answer without the index that exists: not prepared, and asked again after a pause."""
    engine.answers["GET", "_mapping"] = 200, {}
    engine.answers["PUT", "index"] = 400, error("resource_already_exists_exception", 400)
    for _ in range(50):
        assert not engine.admin.prepare(INDEX)
        engine.now += RETRY_SECONDS / 50
    assert engine.asked("PUT", f"/{INDEX}") <= 2


def test_one_blocked_index_does_not_hold_up_another(engine: Scripted) -> None:
    engine.answers["PUT", "index"] = BLOCKED
    assert not engine.admin.prepare(INDEX)
    engine.answers.clear()
    assert engine.admin.prepare("inference-log-y")
    assert not engine.admin.prepare(INDEX)
    engine.now += RETRY_SECONDS
    assert engine.admin.prepare(INDEX)


def test_an_engine_that_comes_back_empty(engine: Scripted) -> None:
    """The templates are installed again before the index is created again."""
    assert engine.admin.prepare(INDEX)
    engine.now += 60
    engine.templates.clear()
    engine.mappings.clear()
    engine.sent.clear()
    engine.admin.forget(INDEX)
    assert engine.admin.prepare(INDEX)
    assert engine.templates
    assert engine.mappings[INDEX] == templates.mapping()
    created = engine.sent.index(("PUT", f"/{INDEX}"))
    assert engine.sent.index(("PUT", f"/_index_template/{templates.TEMPLATE_NAME}")) < created


def test_an_index_that_is_lost_while_the_templates_are_checked(engine: Scripted) -> None:
    """What another thread says meanwhile is not forgotten."""
    put_template = engine.put_template

    def losing(path: list[str], body: Any) -> Answer:
        engine.admin.forget("inference-log-another")
        return put_template(path, body)

    engine.put_template = losing  # type: ignore[method-assign]
    assert engine.admin.prepare(INDEX)
    assert engine.asked("GET", f"/_index_template/{templates.TEMPLATE_NAME}") == 2


def test_an_index_that_is_gone_and_can_not_be_created(engine: Scripted) -> None:
    """However often the writer says that it is missing: it is tried once in RETRY_SECONDS."""
    engine.answers["PUT", "index"] = FORBIDDEN
    for _ in range(100):
        engine.admin.forget(INDEX)
        assert not engine.admin.prepare(INDEX)
        engine.now += RETRY_SECONDS / 50
    assert engine.asked("PUT", f"/{INDEX}") <= 3


def test_templates_are_not_checked_for_each_index_that_is_gone(engine: Scripted) -> None:
    """A thousand indices are removed one by one: one look in RETRY_SECONDS, and the last change is seen."""
    for number in range(1000):
        name = f"{INDEX}-{number}"
        engine.mappings.pop(name, None)
        engine.admin.forget(name)
        engine.admin.prepare(name)
        engine.now += 0.01
    looks = engine.asked("GET", f"/_index_template/{templates.TEMPLATE_NAME}")
    assert looks == 2
    engine.templates.clear()
    engine.now += RETRY_SECONDS
    engine.admin.prepare("inference-log-another")
    assert engine.templates


def test_without_templates_an_index_is_complete_all_the_same(engine: Scripted) -> None:
    """Between two looks at the templates, or where they may not be installed."""
    engine.answers["PUT", "template"] = FORBIDDEN
    assert engine.admin.prepare(INDEX)
    assert templates.additions(engine.mappings[INDEX]) == {}


def test_a_refused_template_is_installed_again_later(engine: Scripted) -> None:
    """Before the next new index, after a pause that grows: a gateway's refusal doesn't last, a permission's does."""
    engine.answers["PUT", "template"] = 400, error("illegal_argument_exception", 400)
    path = f"/_index_template/{templates.TEMPLATE_NAME}"
    tries = []
    for second in range(0, 4 * int(MAX_TEMPLATE_PAUSE_SECONDS), 60):
        engine.now = float(second)
        before = engine.asked("PUT", path)
        assert engine.admin.prepare(f"{INDEX}-{second}")
        if engine.asked("PUT", path) > before:
            tries.append(second)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses[:4] == [60, 120, 240, 480]
    assert max(pauses) == pauses[-1] == MAX_TEMPLATE_PAUSE_SECONDS
    engine.answers.clear()
    engine.now += MAX_TEMPLATE_PAUSE_SECONDS
    for _ in range(2):
        assert engine.admin.prepare(f"{INDEX}-last")
        engine.now += MAX_TEMPLATE_PAUSE_SECONDS
    assert engine.mappings[f"{INDEX}-last"] == templates.mapping()
    assert engine.asked("PUT", path) == len(tries) + 1


def test_an_index_that_somebody_else_created_meanwhile(engine: Scripted) -> None:
    """It has the fields that its first document suggested to the engine; it is given the others."""

    def created_elsewhere(path: list[str], body: Any) -> Answer:
        engine.mappings[path[0]] = {"properties": {"RequestId": {"type": "text"}}}
        return 400, error("resource_already_exists_exception", 400)

    engine.put_index = created_elsewhere  # type: ignore[method-assign]
    assert engine.admin.prepare(INDEX)
    assert ("PUT", f"/{INDEX}/_mapping") in engine.sent


def test_what_one_field_refuses_does_not_cost_the_others(engine: Scripted) -> None:
    """A mapping is taken whole or not at all."""
    engine.mappings[INDEX] = {}

    def no_response(path: list[str], body: Any) -> Answer:
        if "response" in body.get("properties", {}):
            return 400, error("illegal_argument_exception", 400)
        mine = engine.mappings[path[0]]
        mine["properties"] = {**mine.get("properties", {}), **body.get("properties", {})}
        mine.update({name: value for name, value in body.items() if name != "properties"})
        return DONE

    engine.put_mapping = no_response  # type: ignore[method-assign]
    assert engine.admin.prepare(INDEX)
    assert set(templates.additions(engine.mappings[INDEX])["properties"]) == {"response"}
    assert len(templates.additions(engine.mappings[INDEX])) == 1


def test_an_index_that_is_full_of_names_is_given_room(engine: Scripted) -> None:
    """Whatever its limit was."""
    names = {f"x{number}": {"type": "double"} for number in range(6000)}
    engine.mappings[INDEX] = {"properties": {"request": {"properties": {"elements": {"properties": names}}}}}
    engine.answers["GET", "_settings"] = 200, {INDEX: {"settings": {"index.mapping.total_fields.limit": "6002"}}}
    assert engine.admin.prepare(INDEX)
    (limit,) = (
        body for sent, body in zip(engine.sent, engine.bodies, strict=True) if sent[1].endswith("_settings") and body
    )
    assert limit["index.mapping.total_fields.limit"] >= 6002 + len(templates.metrics_mapping()["properties"])


@pytest.mark.parametrize("limit", ["", "many", "-1", None, [], "1e9"])
def test_a_limit_that_is_no_number(engine: Scripted, limit: Any) -> None:
    engine.mappings[INDEX] = {}
    engine.answers["GET", "_settings"] = 200, {INDEX: {"settings": {"index.mapping.total_fields.limit": limit}}}
    assert engine.admin.prepare(INDEX)
    assert engine.asked("PUT", "/_settings") == 1


def test_the_warnings_that_are_remembered_are_bounded(engine: Scripted) -> None:
    """Not more than a page of memory for a name that changes with each event."""
    engine.answers["PUT", "index"] = FORBIDDEN
    for number in count():
        if number > 3000:
            break
        engine.admin.prepare(f"{INDEX}-{number}")
    assert len(engine.admin._warned) <= 1000
    assert len(engine.admin._retry_at) <= 1001
