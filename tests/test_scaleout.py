"""The short form of `python -m bench.scaleout`: two loggers over the session's engine; and that its check can fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bench.engines import Client
from bench.first import index_of
from bench.scaleout import HOT_DOCUMENTS, LOGGERS, check, expected, make_events, run
from tests.helpers import Sender, Server

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def loggers(make_server: Callable[..., Server]) -> list[Any]:
    """Two servers of one worker each."""
    servers = [make_server(GUNICORN_WORKERS="1") for _ in range(2)]
    return [SimpleNamespace(url=server.url, pid=server.process.pid) for server in servers]


@pytest.mark.parametrize(("kind", "predictions", "documents"), [("spread", 150, 150), ("hot", 60, HOT_DOCUMENTS)])
def test_two_loggers_make_what_one_makes(
    engine: Any, loggers: list[Any], kind: str, predictions: int, documents: int
) -> None:
    """Each document is there once and whole, of the newest events, and the figures are scikit-learn's."""
    row = run(engine.url, loggers, kind, predictions, connections=12)
    assert row.found.problems == ()
    assert (row.found.documents, row.found.whole, row.found.equal) == (documents, documents, True)
    assert row.measured.events == 3 * predictions
    assert row.conflicts > 0, "the loggers' writes have never met"


def test_what_is_wrong_is_seen(engine: Any, loggers: list[Any], deployment: str) -> None:
    """A document that lacks a part, one that is missing, one too many, wrong metrics: each is said."""
    urls = [logger.url for logger in loggers]
    senders = [Sender(url) for url in urls]
    for event in make_events("spread", 4, deployment, urls):
        head, _, body = event.raw.partition(b"\r\n\r\n")
        pairs = [line.split(": ", 1) for line in head.decode().split("\r\n")[1:]]
        assert senders[event.to].send(dict(pairs), body)[0] == 200
    client, index, wanted = Client(engine.url), index_of(deployment), expected("spread", 4, deployment)
    assert check(client, index, wanted).problems == ()
    document = client.ask("GET", f"/{index}/_doc/{deployment}-0")["_source"]
    client.ask("PUT", f"/{index}/_doc/copy", document)
    assert check(client, index, wanted).problems[0] == "5 documents, expected 4"
    client.ask("DELETE", f"/{index}/_doc/copy")
    client.ask("PUT", f"/{index}/_doc/{deployment}-0", {**document, "request": {}})
    assert check(client, index, wanted).problems == ("3 documents are whole, expected 4",)
    document["metrics"]["correct"] = 1 - document["metrics"]["correct"]
    client.ask("PUT", f"/{index}/_doc/{deployment}-0", document)
    (problem,) = check(client, index, wanted).problems
    assert problem.startswith("accuracy: the engine has ")
    client.ask("DELETE", f"/{index}/_doc/{deployment}-0")
    assert "3 documents, expected 4" in check(client, index, wanted).problems


def test_the_events_of_a_prediction_go_to_different_loggers() -> None:
    """With three loggers each part goes to another one, and no part always to the same."""
    events = make_events("spread", 6, "d", ["http://a:1", "http://b:1", "http://c:1"])
    for number in range(6):
        assert {event.to for event in events if event.key[0] == number} == {0, 1, 2}
    for part in ("request", "response", "feedback"):
        assert {event.to for event in events if event.key[1] == part} == {0, 1, 2}


def test_the_page_has_the_table() -> None:
    """docs/scaling.md shows each row of the command, all of them whole and equal to scikit-learn's."""
    page = (Path(__file__).parent.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.endswith("| yes |")]
    assert [(line[0], line[1]) for line in lines] == [
        (str(number), kind)
        for number in range(1, LOGGERS + 1)
        for kind in ("each its document", f"{HOT_DOCUMENTS} documents")
    ]
    for line in lines:
        assert line[-3] == line[-2]
