"""Which indices of a name there are, by whatever the engine answers."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from request_logger.store.changes import StoreUnavailableError
from request_logger.store.indices.catalog import Catalog, list_indices
from tests.store import garbage
from tests.store.test_responses import error

NAME = "inference-log-x"


class Answering:
    """An engine that gives one answer to everything."""

    def __init__(self, status: int, answer: Any) -> None:
        self.given = status, answer
        self.asked = 0

    def request(self, method: str, path: str, body: Any = None, params: Any = None) -> tuple[int, Any]:
        self.asked += 1
        return self.given


def listed(engine: Answering, period: str = "month", catalog: Catalog | None = None) -> Catalog:
    """List the indices of NAME, as the writer does."""
    catalog = catalog or Catalog(period)
    catalog.note(list_indices(engine, [NAME]), now=0.0)
    return catalog


@pytest.mark.parametrize("status", [200, 204, 302, 404, 429, 502])
def test_garbage_is_unavailable(status: int) -> None:
    """What was known before stays known."""
    engine = Answering(200, {NAME: {"aliases": {}}, f"{NAME}-2026.01": {"aliases": {}}})
    indices = listed(engine)
    for answer in garbage.aliases(NAME) if status == 200 else garbage.PAGES:
        engine.given = status, answer
        with pytest.raises(StoreUnavailableError):
            listed(engine, catalog=indices)
        assert indices.of(NAME) == [NAME, f"{NAME}-2026.01"]


def test_a_user_who_may_not_ask(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once; documents are looked for where they are expected."""
    engine = Answering(403, error("security_exception", 403))
    indices = Catalog("month")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            listed(engine, catalog=indices)
    assert [record.getMessage() for record in caplog.records] == [
        f"documents of other periods can't be found: this user may not list {NAME},{NAME}-2*"
    ]
    assert indices.of(NAME) == []


def test_an_alias_of_two_indices_is_no_place() -> None:
    """It can't be asked for one document; an alias of one can."""
    months = {f"{NAME}-2026.0{month}": {"aliases": {NAME: {}}} for month in (1, 2)}
    indices = listed(Answering(200, months))
    assert indices.of(NAME) == list(months)
    indices = listed(Answering(200, {"another": {"aliases": {NAME: {}}}}), "none")
    assert indices.of(NAME) == [NAME]
    assert indices.is_single_index(NAME)


def test_nothing_there() -> None:
    indices = listed(Answering(404, error("index_not_found_exception", 404)), "none")
    assert indices.of(NAME) == []


def test_more_names_than_a_path_can_hold() -> None:
    """They are listed in several requests, each name in one of them."""
    names = [f"inference-log-seldon-somewhere-model-{number}-default" for number in range(100)]
    engine = Answering(200, {name: {"aliases": {}} for name in names})
    assert list_indices(engine, names) == {name: [name] for name in names}
    assert engine.asked > 1
    assert list_indices(engine, []) == {}
