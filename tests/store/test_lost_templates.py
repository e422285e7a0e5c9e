"""An engine that comes back empty, and an answer to the creation of the next index that gets lost."""

from __future__ import annotations

from typing import Any

import pytest

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.indices import templates
from request_logger.store.indices.admin import RETRY_SECONDS
from tests.store.scripted_engine import GONE, INDEX, Answer, Scripted

OTHER = "inference-log-y"


@pytest.mark.parametrize("lost", ["put_index", "get_mapping"])
def test_templates_are_installed_again_after_a_lost_answer(lost: str) -> None:
    """The new index lacks our fields, which says that the templates are gone, whichever answer is lost."""
    engine = Scripted()
    assert engine.admin.prepare(INDEX)
    engine.templates.clear()
    engine.mappings.clear()
    answer = getattr(engine, lost)

    def losing(path: list[str], body: Any) -> Answer:
        answered: Answer = answer(path, body)
        if OTHER in engine.mappings:
            setattr(engine, lost, answer)
            raise StoreUnavailableError("the answer was lost")
        return answered

    setattr(engine, lost, losing)
    with pytest.raises(StoreUnavailableError):
        engine.admin.prepare(OTHER)
    assert engine.mappings[OTHER] == {}
    engine.admin.prepare(OTHER)
    assert set(engine.templates) == {templates.TEMPLATE_NAME, templates.DEAD_LETTER_INDEX}
    assert templates.additions(engine.mappings[OTHER]) == {}


def test_an_index_that_was_refused_says_nothing_of_templates() -> None:
    """Created by another program afterwards, it may lack fields though the templates are there."""
    engine = Scripted()
    engine.answers["PUT", "index"] = GONE
    assert not engine.admin.prepare(INDEX)
    engine.answers.clear()
    engine.mappings[INDEX] = {}
    engine.sent.clear()
    engine.now += RETRY_SECONDS
    assert engine.admin.prepare(INDEX)
    assert engine.asked("GET", f"/_index_template/{templates.TEMPLATE_NAME}") == 0


def test_an_index_in_the_place_of_an_alias_says_that_the_templates_may_be_lost() -> None:
    """The engine came back empty, and made an index of the name by its first document."""
    engine = Scripted()
    engine.mappings["behind"] = {}
    engine.answers["GET", "_mapping"] = 200, {"behind": {"mappings": {}}}
    assert engine.admin.prepare(INDEX)
    engine.templates.clear()
    engine.answers.clear()
    engine.mappings = {INDEX: {}}
    engine.now += RETRY_SECONDS
    assert engine.admin.prepare(INDEX)
    assert set(engine.templates) == {templates.TEMPLATE_NAME, templates.DEAD_LETTER_INDEX}
