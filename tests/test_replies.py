"""Replies to feedback: the HTTP answer, the events for REPLY_URL, and POST /v1/feedback."""

from __future__ import annotations

import json
import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from cloudevents.core.bindings.http import HTTPMessage, from_binary
from cloudevents.core.formats.json import JSONFormat

from request_logger.documents.event import BadEventError
from request_logger.server.feedback_route import feedback_event
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, free_port, index_of, ndarray

DOCS = Path(__file__).parent.parent / "docs" / "metrics-server.md"
FEEDBACK = json.dumps({"truth": {"data": {"ndarray": [[0, 1, 0]]}}, "reward": 1}).encode()
RESPONSE = ndarray([[0.2, 0.7, 0.1]], ["a", "b", "c"])


class Receiver:
    """A real HTTP server that keeps what it gets; ``status`` is its answer, ``pause`` (seconds) how slow it is."""

    def __init__(self) -> None:
        self.status, self.pause = 202, 0.0
        self.got: queue.Queue[HTTPMessage] = queue.Queue()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, pause = receiver.status, receiver.pause
                receiver.got.put(HTTPMessage({name.lower(): value for name, value in self.headers.items()}, body))
                time.sleep(pause)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """A receiver for the module."""
    made = Receiver()
    yield made
    made.server.shutdown()


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server], receiver: Receiver) -> Server:
    """A server that replies in both ways."""
    return make_server(REPLY_EVENTS="true", REPLY_URL=receiver.url, GUNICORN_WORKERS="1")


@pytest.fixture(autouse=True)
def empty(receiver: Receiver) -> None:
    """Nothing is left of another test."""
    receiver.status, receiver.pause = 202, 0.0
    while not receiver.got.empty():
        receiver.got.get()


def read(message: HTTPMessage) -> tuple[dict[str, Any], Any]:
    parsed = from_binary(message, JSONFormat())
    return dict(parsed.get_attributes()), parsed.get_data()


def send(server: Server, deployment: str, part: str, body: bytes, request_id: str = "r1") -> HTTPMessage:
    answer = requests.post(server.url, body, headers=event(part, request_id, deployment), timeout=60)
    assert answer.status_code == 200
    return HTTPMessage({name.lower(): value for name, value in answer.headers.items()}, answer.content)


def wait_for(server: Server, line: str) -> None:
    """Wait until /metrics has this line."""
    deadline = time.monotonic() + 10
    while line not in requests.get(f"{server.url}/metrics", timeout=10).text:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def metrics_in(index: Index, deployment: str) -> list[Any]:
    documents = sorted(index.documents(index_of(deployment)).items())
    return [document["metrics"] for _, document in documents]


@pytest.mark.engine
def test_feedback_is_answered_with_its_metrics(
    server: Server, receiver: Receiver, index: Index, deployment: str
) -> None:
    """The answer and what REPLY_URL gets are the same CloudEvent; other parts are answered with nothing."""
    assert send(server, deployment, "response", RESPONSE).body == b""
    attributes, data = read(send(server, deployment, "feedback", FEEDBACK))
    assert [data] == metrics_in(index, deployment)
    assert (data["correct"], data["truth_label"]) == (1, "b")
    assert attributes.pop("time")
    assert attributes == {
        "specversion": "1.0",
        "id": "ce-r1-feedback",
        "source": "io.seldon.serving.feedback",
        "type": "io.seldon.serving.feedback.metrics",
        "datacontenttype": "application/json",
        "requestid": "r1",
        "modelid": "classifier",
        "inferenceservicename": deployment,
        "namespace": "test",
        "endpoint": "default",
    }
    sent, same = read(receiver.got.get(timeout=10))
    assert ({**sent, "time": None}, same) == ({**attributes, "time": None}, data)


@pytest.mark.engine
def test_feedback_of_a_batch_is_answered_with_a_list(server: Server, index: Index, deployment: str) -> None:
    """One entry per row; {} before the batch is stored, and the same list for a duplicate."""
    body = json.dumps({"truth": {"data": {"ndarray": [1, 0, 2]}}}).encode()
    assert send(server, deployment, "feedback", body).body == b"{}"
    assert send(server, deployment, "response", ndarray([1, 1, 2])).body == b""
    for _ in range(2):
        _, data = read(send(server, deployment, "feedback", body))
        assert [row["correct"] for row in data] == [1, 0, 1]
        assert data == metrics_in(index, deployment)


@pytest.mark.engine
def test_feedback_for_one_row(server: Server, index: Index, deployment: str) -> None:
    """Feedback under a row's own id, as Kibana shows it, is that row's."""
    send(server, deployment, "response", ndarray([1, 0]))
    _, data = read(send(server, deployment, "feedback", b'{"truth": 1}', "r1-item-1"))
    assert data["correct"] == 0
    documents = index.documents(index_of(deployment))
    assert {id: document.get("metrics", {}).get("correct") for (_, id), document in documents.items()} == {
        "r1-item-0": None,
        "r1-item-1": 0,
    }
    assert documents[index_of(deployment), "r1-item-1"]["RequestId"] == "r1"


@pytest.mark.engine
def test_batched_mode_sends_a_reply_for_each_feedback(server: Server, receiver: Receiver, deployment: str) -> None:
    """One HTTP answer can't hold several events, so it stays empty; REPLY_URL gets them all."""
    batch = [
        {
            **{
                name[3:].lower(): value
                for name, value in event("feedback", f"r{n}", deployment).items()
                if name[:3] == "Ce-"
            }
        }
        | {"data": {"truth": n, "response": 1}, "datacontenttype": "application/json"}
        for n in range(3)
    ]
    headers = {"Content-Type": "application/cloudevents-batch+json"}
    answer = requests.post(server.url, json.dumps(batch), headers=headers, timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")
    found = [read(receiver.got.get(timeout=10)) for _ in batch]
    assert sorted(attributes["requestid"] for attributes, _ in found) == ["r0", "r1", "r2"]


@pytest.mark.engine
def test_receiver_that_fails_or_hangs(server: Server, receiver: Receiver, deployment: str) -> None:
    """The feedback is stored and answered immediately anyway."""
    receiver.status = 500
    send(server, deployment, "feedback", FEEDBACK)
    receiver.got.get(timeout=10)
    wait_for(server, 'request_logger_replies_total{outcome="failed"} 1.0')
    receiver.status, receiver.pause = 202, 3.0
    started = time.monotonic()
    for number in range(5):
        send(server, deployment, "feedback", FEEDBACK, f"r{number}")
    assert time.monotonic() - started < 3
    receiver.got.get(timeout=10)
    receiver.pause = 0.0


@pytest.mark.engine
def test_dead_receiver(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """Nobody listens at REPLY_URL: the feedback is stored, the answer is empty without REPLY_EVENTS."""
    server = make_server(REPLY_URL=f"http://127.0.0.1:{free_port()}/", GUNICORN_WORKERS="1")
    started = time.monotonic()
    for number in range(20):
        assert send(server, deployment, "feedback", FEEDBACK, f"r{number}").body == b""
    assert time.monotonic() - started < 10
    assert index.count(index_of(deployment)) == 20
    wait_for(server, 'request_logger_replies_total{outcome="failed"} 20.0')


@pytest.mark.engine
def test_direct_feedback(server: Server, index: Index, deployment: str) -> None:
    """POST /v1/feedback takes plain values and answers with the metrics."""
    url = f"{server.url}/v1/feedback"
    origin = {"deployment": deployment, "namespace": "test", "predictor": "default", "model": "classifier"}
    sender = Sender(server.url)
    sender.send(event("response", "r1", deployment), RESPONSE)
    sender.send(event("response", "r2", deployment), ndarray([1, 0]))
    answer = requests.post(url, json={**origin, "request_id": "r1", "truth": [0, 1, 0]}, timeout=60)
    assert (answer.status_code, answer.json()["metrics"]["truth_label"]) == (200, "b")
    answer = requests.post(url, json={**origin, "request_id": "r2", "truths": [1, 1]}, timeout=60)
    assert [row["correct"] for row in answer.json()["metrics"]] == [1, 0]
    for given, correct in (
        ({"truth": "cat", "prediction": "cat"}, 1),
        ({"truth": "cat", "prediction": {"cat": 0.2, "dog": 0.8}}, 0),
        ({"truth": {"data": {"ndarray": [1]}}, "prediction": 0.7}, 1),
    ):
        answer = requests.post(url, json={**origin, "request_id": f"p{correct}", **given}, timeout=60)
        assert answer.json()["metrics"]["correct"] == correct
    answer = requests.post(url, json={**origin, "request_id": "r9", "reward": True}, timeout=60)
    assert (answer.status_code, answer.json()) == (200, {"metrics": {}, "prediction": "not_found"})
    answer = requests.post(url, json={**origin, "truth": 1}, timeout=60)
    assert (answer.status_code, answer.json()) == (400, {"error": "request_id: expected text, found nothing"})
    assert index.count(index_of(deployment)) == 6


@pytest.mark.engine
@pytest.mark.skipif(not shutil.which("curl"), reason="the documented commands need curl")
def test_documented_commands(server: Server, index: Index) -> None:
    """The commands of docs/metrics-server.md do what they say."""
    index.drop("inference-log-seldon-demo-iris-default")
    blocks = re.findall(r"(?:^    .*\n)+", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    (events,) = [block for block in blocks if "send()" in block]
    (direct,) = [block for block in blocks if "v1/feedback -d" in block]
    script = (
        (events + direct).replace("localhost:8080", server.url.removeprefix("http://")).replace("curl ", "curl -sf ")
    )
    ran = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True, timeout=60)
    assert '"correct":1' in ran.stdout.splitlines()[-1]
    (document,) = index.documents("inference-log-seldon-demo-iris-default").values()
    assert document["metrics"]["truth_label"] == "setosa"


GOOD: dict[str, Any] = {"deployment": "d", "request_id": "r", "truth": 1}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "body: .* no JSON"),
        (b"[1]", "body: "),
        ({"deploymnt": "x"}, "deploymnt: no such field"),
        ({"deployment": 3}, "deployment: expected text, found a number$"),
        ({"deployment": ["x"]}, "deployment: expected text, found an array$"),
        ({"alice@example.com": 1}, "^body: no such field"),
        ({"request_id": ""}, "request_id: "),
        ({"time": "yesterday"}, "time: "),
        ({"engine": "other"}, "engine: expected seldon or inferenceservice"),
        ({"engine": []}, "engine: expected seldon or inferenceservice"),
        ({"truth": None}, "truth, truths, reward, metrics, evaluations, thumb: expected one"),
        ({"truths": [1]}, "truth, truths: "),
        ({"truth": None, "truths": []}, "truths: expected a list"),
        ({"metrics": {}}, "metrics: expected a list"),
    ],
)
def test_direct_feedback_that_is_wrong(body: Any, text: str) -> None:
    """The error names the field and what was expected."""
    raw = body if isinstance(body, bytes) else json.dumps({**GOOD, **body}).encode()
    with pytest.raises(BadEventError, match=text):
        feedback_event(raw, Settings())


def test_direct_feedback_goes_where_the_deployment_is() -> None:
    """A KServe deployment's documents are in other indices."""
    made = feedback_event(json.dumps({**GOOD, "engine": "inferenceservice", "namespace": "n"}).encode(), Settings())
    assert made.index == "inference-log-inferenceservice-n-d-unknown-endpoint"
    assert (made.part, made.request_id, made.id) == ("feedback", "r", "r")


@pytest.mark.engine
def test_feedback_from_the_spool_is_replied_to(
    make_server: Callable[..., Server], engine: Any, receiver: Receiver, tmp_path: Path, deployment: str
) -> None:
    """Feedback that was spooled while the engine was away has its reply once it is stored."""
    away = make_server(
        f"http://127.0.0.1:{free_port()}", ready=False, SPOOL_DIR=str(tmp_path), STORE_TIMEOUT_SECONDS="1"
    )
    body = json.dumps({"truth": 1, "response": 1}).encode()
    assert send(away, deployment, "feedback", body).body == b""
    away.stop()
    make_server(SPOOL_DIR=str(tmp_path), REPLY_URL=receiver.url)
    name = ""
    while name != deployment:  # those of other tests may still be on their way
        attributes, data = read(receiver.got.get(timeout=30))
        name = attributes["inferenceservicename"]
    assert data["correct"] == 1
