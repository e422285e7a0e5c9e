"""auto by deployment on an engine: what several servers see, refusals, and one rescore that makes it right."""

from __future__ import annotations

import json
import logging
import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from sklearn import metrics as sk

from request_logger.analytics.report import Options, make_report
from request_logger.cli import main
from request_logger.scoring import evidence_keeper
from request_logger.scoring.evidence import NOTHING, Evidence, observed
from request_logger.scoring.evidence_keeper import EvidenceKeeper
from request_logger.scoring.stored_evidence import INDEX, EvidenceError, StoredEvidence, fixed_evidence
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from scorers.forms import Form
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

ORIGIN = ("ns", "dep", "", "")
N = 120


def seen(form: Form, *ids: int) -> Evidence:
    found = NOTHING
    for id in ids:
        found = observed(found, str(id), form)
    return found


class Fake:
    """Answers of an engine, by method and path; for refusals that no test can make an engine give."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def request(self, method: str, path: str, body: Any = None, params: Any = None) -> tuple[int, Any]:
        name = path.rsplit("/", 1)[-1]
        self.asked.append(name)
        answer = self.answers.get(name, (404, {}))
        if isinstance(answer, Exception):
            raise answer
        return answer


REASON = "no permissions for [indices:data/read/search] and User [name=somebody]"
FORBIDDEN = (403, {"error": {"type": "security_exception", "reason": REASON}, "status": 403})
MISSING = {"docs": [{"error": {"type": "index_not_found_exception", "reason": "no such index"}}]}


@pytest.mark.parametrize(
    "answers",
    [
        {"_mget": FORBIDDEN},
        {"_mget": (200, [])},
        {"_mget": (200, {"docs": []})},
        {"_mget": (200, {"docs": [{"error": {"type": "security_exception", "reason": REASON}}]})},
        {"_mget": (200, MISSING), INDEX: FORBIDDEN},
        {"_mget": (404, {}), INDEX: (200, {}), "_bulk": (403, None)},
        {"_mget": (200, {"docs": [None]}), "_bulk": (200, {"items": [{"create": {"status": 403, "error": "no"}}]})},
        {"_mget": (200, MISSING), INDEX: (400, {}), "_bulk": (200, {"items": [7]})},
        {"_mget": (200, {"docs": [{"found": False}]}), "_bulk": (200, {"items": []})},
    ],
)
def test_a_refusal_is_said(answers: dict[str, Any]) -> None:
    """Whatever the engine answers, it is one error, which the keeper logs once while its process goes on."""
    with pytest.raises(EvidenceError):
        StoredEvidence(Fake(**answers)).merge({ORIGIN: seen(Form.WHOLE, 1)})


def test_a_document_that_others_keep_changing() -> None:
    """It is tried a few times, and joined the next time."""
    answers = {
        "_mget": (200, {"docs": [{"found": True, "_source": 7, "_seq_no": 1, "_primary_term": 1}]}),
        "_bulk": (200, {"items": [{"index": {"status": 409}}]}),
    }
    engine = Fake(**answers)
    assert StoredEvidence(engine).merge({ORIGIN: seen(Form.WHOLE, 1)}) == {ORIGIN: seen(Form.WHOLE, 1)}
    assert engine.asked.count("_bulk") == 5


@pytest.mark.parametrize("answer", [FORBIDDEN, (200, []), (200, {"hits": {"hits": 3}})])
def test_evidence_that_can_not_be_read(answer: Any) -> None:
    """A command that stores documents goes on without."""
    with pytest.raises(EvidenceError):
        StoredEvidence(Fake(_search=answer)).all()
    assert fixed_evidence(Fake(_search=answer)).decision(ORIGIN, Form.WHOLE_01).scorer == "binary"


def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen")


def test_a_keeper_without_an_index(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Refused, without an answer, or with a defect: the thread goes on, the pairs decide, and one line is logged."""
    monkeypatch.setattr(evidence_keeper, "_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(evidence_keeper, "_LEAST_SECONDS", 0.01)
    monkeypatch.setattr(evidence_keeper, "EXPIRY_SECONDS", 0.01)
    engine = Fake(_search=FORBIDDEN, _mget=FORBIDDEN)
    keeper = EvidenceKeeper(engine)
    with caplog.at_level(logging.WARNING):
        keeper.start()
        for k in range(30):
            keeper.known.observe(ORIGIN, str(k), Form.WHOLE)
        until(lambda: engine.asked.count("_mget") > 2)
        assert len(caplog.records) == 1
        assert "the user lacks the privilege indices:data/read/search" in caplog.text
        assert "somebody" not in caplog.text
        for failure in (StoreUnavailableError("down"), ValueError("a defect")):
            engine.answers["_mget"] = failure
            count = engine.asked.count("_mget")
            until(lambda: engine.asked.count("_mget") > count + 2)  # noqa: B023 - called at once
        assert keeper.known.decision(ORIGIN, Form.WHOLE_01).scorer == "multiclass"
        # It is well again: what waited is stored.
        engine.answers |= {
            "_mget": (404, {}),
            INDEX: (200, {}),
            "_bulk": (200, {"items": [{"create": {"status": 201}}]}),
        }
        until(lambda: "_bulk" in engine.asked)
        keeper.close(5)
    assert len(caplog.records) == 2
    assert keeper.known.take_used() == []


def test_a_keeper_that_was_not_started() -> None:
    """With a named scorer there is no thread, and nothing is asked."""
    engine = Fake()
    EvidenceKeeper(engine).close(1)
    assert engine.asked == []


@pytest.fixture
def stored(reach: Settings) -> StoredEvidence:
    return StoredEvidence(SearchEngine(reach))


@pytest.mark.engine
def test_stored_and_joined(stored: StoredEvidence, deployment: str, index: Index) -> None:
    """Two processes write what they have seen, also after the index was deleted; a later epoch replaces."""
    origin, other = ("ns", deployment, "p", "m"), ("ns", deployment, "p", "n")
    assert stored.merge({origin: NOTHING}) == {origin: NOTHING}
    assert stored.merge({origin: seen(Form.WHOLE, 1, 2), other: seen(Form.SCORE, 1)})[other] == seen(Form.SCORE, 1)
    both = seen(Form.WHOLE, 1, 2, 3)
    assert stored.merge({origin: seen(Form.WHOLE, 2, 3)}) == {origin: both}
    version = index.request("GET", f"/{INDEX}/_search", q=f"deployment:{deployment} AND model:m", version="true")
    assert stored.merge({origin: seen(Form.WHOLE, 3)}) == {origin: both}
    assert version["hits"]["total"]["value"] <= 1
    judged = Evidence(seen(Form.SCORE, 9).sample, 1)
    assert stored.merge({origin: judged}) == {origin: judged}
    assert stored.merge({origin: both}) == {origin: judged}
    index.refresh()
    assert stored.all()[origin] == judged
    # An index that may not be written, as on a full disk: what is stored can still be read.
    assert index.request("PUT", f"/{INDEX}/_settings", {"index.blocks.write": True})["acknowledged"]
    with pytest.raises(EvidenceError, match="403"):
        stored.merge({origin: Evidence(both.sample, 2)})
    assert stored.merge({origin: NOTHING}) == {origin: judged}
    index.drop(INDEX)
    assert stored.all() == {}
    assert stored.merge({origin: judged, other: both}) == {origin: judged, other: both}
    mapping = index.request("GET", f"/{INDEX}/_mapping")[INDEX]["mappings"]
    assert mapping["properties"]["evidence"] == {"type": "object", "enabled": False}


def send(sender: Sender, deployment: str, id: str, truths: list[int], predictions: list[int]) -> None:
    assert sender.send(event("response", id, deployment), ndarray(predictions))[0] == 200
    body = json.dumps({"truth": {"data": {"ndarray": truths}}}).encode()
    assert sender.send(event("feedback", id, deployment), body)[0] == 200


KNOWN = f"t-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def two_servers(make_server: Callable[..., Server], engine: Any, index: Index) -> Iterator[list[Sender]]:
    """Two servers that start when the pairs of a deployment, ``KNOWN``, are stored as those of many classes."""
    parts = urlsplit(engine.url)
    stored = StoredEvidence(SearchEngine(Settings(elasticsearch_host=parts.hostname, elasticsearch_port=parts.port)))
    stored.merge({("test", KNOWN, "default", "classifier"): seen(Form.WHOLE, *range(30))})
    index.refresh()
    senders = [Sender(make_server(GUNICORN_WORKERS="1", STORE_TIMEOUT_SECONDS="25").url) for _ in range(2)]
    yield senders
    for sender in senders:
        sender.close()


@pytest.mark.engine
def test_one_rescore_makes_a_deployment_right(
    two_servers: list[Sender], reach: Settings, deployment: str, index: Index, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bare class indexes of three classes, of which 0 and 1 alone look binary, to two servers in turns.

    Few documents are scored before the forms are known. The report names the command; after it, all are multiclass, the
    figures are scikit-learn's, and what comes then is read alike by both servers.
    """
    rng = np.random.default_rng(9)
    truths = rng.choice(3, N, p=(0.5, 0.3, 0.2))
    answers = np.where(rng.random(N) < 0.7, truths, rng.choice(3, N))
    # The worst order: all that look binary come first.
    order = np.argsort((truths > 1) | (answers > 1), kind="stable")
    truths, answers = truths[order], answers[order]
    name = index_of(deployment)
    for k in range(0, N, 15):
        send(two_servers[k % 2], deployment, f"r{k}", truths[k : k + 15].tolist(), answers[k : k + 15].tolist())
    engine = SearchEngine(reach)
    index.refresh()
    report = make_report(engine, reach, Options(name))
    assert {task["scorer"] for task in report["tasks"]} == {"binary", "multiclass"}
    (note,) = [note for note in report.get("warnings", []) if "was scored by" in note]
    command = shlex.split(note.split(": request-logger ")[1].rstrip("."))
    assert command[0] == "rescore"
    assert deployment in command
    for _ in range(2):
        assert main([*command, "--json"]) == 0
        index.refresh()
        report = make_report(engine, reach, Options(name))
        (task,) = report["tasks"]
        found = {each["name"]: each["value"] for each in task["metrics"]}
        assert found["accuracy"] == pytest.approx(sk.accuracy_score(truths, answers), abs=1e-9)
        assert found["f1_macro"] == pytest.approx(sk.f1_score(truths, answers, average="macro"), abs=1e-9)
        assert not [note for note in report.get("warnings", []) if "was scored by" in note]
    # Nothing is left to do, whatever part is asked for: the evidence is that of the whole deployment.
    capsys.readouterr()
    assert main([*command, "--where", "metrics.truth_label=CLASS_0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == 0
    # Both servers know it.
    for k, sender in enumerate(two_servers):
        send(sender, deployment, f"later{k}", [0, 1], [1, 1])
    scorers = {each["metrics"]["scorer"] for each in index.documents(name).values()}
    assert scorers == {"multiclass"}


@pytest.mark.engine
def test_a_new_server_knows(two_servers: list[Sender], index: Index) -> None:
    """It reads at its start what others have stored: its first pair of 0 and 1 is one of many classes."""
    for k, sender in enumerate(two_servers):
        send(sender, KNOWN, f"first{k}", [1], [1])
    found = index.documents(index_of(KNOWN)).values()
    assert [each["metrics"]["scorer"] for each in found] == ["multiclass"] * 2


@pytest.mark.engine
def test_a_deployment_that_others_know(
    two_servers: list[Sender], stored: StoredEvidence, deployment: str, index: Index
) -> None:
    """Its evidence is read at its first pair, which doesn't wait for it; what that pair shows is stored."""
    origin = ("test", deployment, "default", "classifier")
    others = seen(Form.WHOLE, *range(30))
    stored.merge({origin: others})
    for k in range(100):
        send(two_servers[0], deployment, f"r{k}", [1], [1])
        found = index.documents(index_of(deployment), {"term": {"RequestId": f"r{k}"}})
        if [each["metrics"]["scorer"] for each in found.values()] == ["multiclass"]:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the server does not know it")
    assert len(stored.merge({origin: NOTHING})[origin].sample) > len(others.sample)
