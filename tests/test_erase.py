"""`request-logger erase` on a real engine: what it removes everywhere, and what can't come back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from request_logger.cli import main
from request_logger.common.erasures import BLOCK, ERASURES_INDEX, RUN, erased_digest
from request_logger.common.join_keys import KEYS_INDEX
from request_logger.documents.kept_fields import REMOVED
from request_logger.store.indices.templates import DEAD_LETTER_INDEX
from tests.erasing import spooled, text_in
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

pytestmark = pytest.mark.engine

NAMES = ["customer", "age"]
KEY = "request.elements.customer"


@pytest.fixture(scope="module")
def logger(make_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server that asks often for erased ids."""
    return make_server(
        ERASURE_POLL_SECONDS="0.2",
        JOIN_KEYS=KEY,
        SPOOL_DIR=str(tmp_path_factory.mktemp("spool")),
        GUNICORN_WORKERS="1",
    )


@pytest.fixture
def to(logger: Server) -> Iterator[Sender]:
    """A connection to it."""
    connection = Sender(logger.url)
    yield connection
    connection.close()


@pytest.fixture
def erase(
    index: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Any]]:
    """Run the command on the session's engine; give what it prints as JSON."""
    monkeypatch.setenv("ELASTICSEARCH_HOST", index.url)
    monkeypatch.setenv("ERASURE_POLL_SECONDS", "0.2")
    monkeypatch.setenv("STORE_TIMEOUT_SECONDS", "1")
    monkeypatch.setenv("JOIN_KEYS", KEY)

    def run(*arguments: str, status: int = 0) -> dict[str, Any]:
        assert main(["erase", *arguments, "--json"]) == status
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


def predict(to: Sender, id: str, deployment: str, rows: list[list[Any]]) -> None:
    """Send a request, its response and a feedback."""
    assert to.send(event("request", id, deployment), ndarray(rows, NAMES))[0] == 200
    assert to.send(event("response", id, deployment), ndarray([[0.2, 0.8]] * len(rows), ["no", "yes"]))[0] == 200
    truth = {"truth": {"data": {"ndarray": [[0, 1]] * len(rows)}}}
    assert to.send(event("feedback", id, deployment), json.dumps(truth).encode())[0] == 200


def test_a_prediction_is_erased_everywhere_and_does_not_come_back(
    to: Sender, logger: Server, index: Index, deployment: str, erase: Callable[..., dict[str, Any]]
) -> None:
    """Document, join key and dead letter; then a duplicate and late feedback by id and by key are refused."""
    gone, kept = f"{deployment}-gone", f"{deployment}-kept"
    for id in (gone, kept):
        predict(to, id, deployment, [[f"customer of {id}", 30]])
    letter = {"@timestamp": "2026-01-01T00:00:00Z", "index": "i", "id": gone, "reason": "r", "document": "{}"}
    index.request("PUT", f"/{DEAD_LETTER_INDEX}/_doc/{deployment}", letter, refresh="true")
    condition = f"{KEY}=customer of {gone}"

    index.refresh()
    looked = erase("--where", condition, "--in", f"test/{deployment}")
    places = {index_of(deployment): 1, KEYS_INDEX: 1, DEAD_LETTER_INDEX: 1}
    assert (looked["dry_run"], looked["ids"], looked["removed"]) == (True, 1, places)
    assert len(index.documents(index_of(deployment))) == 2

    done = erase("--where", condition, "--reason", "a ticket", "--yes")
    assert (done["removed"], done["changed"], done["left"]) == (places, {}, [])
    assert [name for _, name in index.documents(index_of(deployment))] == [kept]

    predict(to, gone, deployment, [["another name", 1]])
    origin = {"deployment": deployment, "namespace": "test", "predictor": "default"}
    by_key = {"key": {KEY: f"customer of {gone}"}, "truth": {"data": {"ndarray": [[0, 1]]}}, **origin}
    assert requests.post(f"{logger.url}/v1/feedback", json=by_key, timeout=10).status_code == 200
    assert [name for _, name in index.documents(index_of(deployment))] == [kept]
    assert len(index.documents(f"{KEYS_INDEX}*", {"term": {"index": index_of(deployment)}})) == 1
    assert 'request_logger_events_total{outcome="erased"' in requests.get(f"{logger.url}/metrics", timeout=10).text

    again = erase("--id", gone, "--reason", "a ticket", "--yes", "--no-wait")
    assert (again["removed"], again["changed"]) == ({}, {})
    records = [document for document in index.documents(ERASURES_INDEX).values() if gone not in json.dumps(document)]
    assert len(records) == len(index.documents(ERASURES_INDEX))
    assert erased_digest(gone) in {document.get("digest") for document in records if document["kind"] == BLOCK}
    (run,) = [each for each in records if each["kind"] == RUN and each["removed"]["removed"] == places]
    assert (run["state"], run["reason"], run["asked"]) == ("done", "a ticket", {"ids": 0, "fields": [KEY]})


def test_a_row_of_a_batch_is_erased_and_the_others_keep_their_metrics(
    to: Sender, index: Index, deployment: str, erase: Callable[..., dict[str, Any]]
) -> None:
    """The bodies of the batch have the erased row: the other rows lose them."""
    predict(to, deployment, deployment, [[f"{deployment}-{row}", row] for row in range(3)])
    before = {name: each["metrics"] for (_, name), each in index.documents(index_of(deployment)).items()}
    done = erase("--id", f"{deployment}-item-1", "--reason", "a ticket", "--yes", "--no-wait")
    assert done["removed"][index_of(deployment)] == 1
    assert done["changed"] == {index_of(deployment): 2}
    left = {name: each for (_, name), each in index.documents(index_of(deployment)).items()}
    assert sorted(left) == [f"{deployment}-item-0", f"{deployment}-item-2"]
    for name, document in left.items():
        assert document["metrics"] == before[name]
        assert document[REMOVED]
        assert f"{deployment}-1" not in json.dumps(document)


def test_a_spooled_event_is_erased_on_disk(
    make_server: Callable[..., Server],
    index: Index,
    tmp_path: Path,
    deployment: str,
    erase: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """That of another prediction stays; nothing of the erased one is left, and in another spool it isn't replayed."""
    monkeypatch.setenv("SPOOL_DIR", str(tmp_path))
    spooled(tmp_path, ["gone-0123456789", "kept-0123456789"])
    assert erase("--id", "gone-0123456789")["removed"] == {"spool": 1}
    assert "gone-0123456789" in text_in(tmp_path)
    done = erase("--id", "gone-0123456789", "--reason", "a ticket", "--yes", "--no-wait")
    assert done["removed"] == {"spool": 1}
    assert "gone-0123456789" not in text_in(tmp_path)
    assert "kept-0123456789" in text_in(tmp_path)

    another = tmp_path / "another"
    spooled(another, ["gone-0123456789", "kept-0123456789"], deployment)
    server = make_server(SPOOL_DIR=str(another), GUNICORN_WORKERS="1", ERASURE_POLL_SECONDS="0.2")
    while "kept-0123456789" in text_in(another):
        time.sleep(0.1)
    server.stop()
    assert "gone-0123456789" not in text_in(another)
    assert [id for _, id in index.documents(index_of(deployment))] == ["kept-0123456789"]
