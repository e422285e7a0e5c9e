"""The demo's events: traffic recorded from a real Seldon executor, and a classifier's predictions with feedback."""

from __future__ import annotations

import base64
import http.client
import importlib.resources
import json
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from request_logger.common.times import utc_text
from request_logger.errors import CommandError

PREDICTIONS, WITH_FEEDBACK, REWARDED = 100, 63, 46
NAMESPACE = "demo"
_FEATURES = ("sepal_length", "sepal_width")
_MAX_SEEDS = 1000
# A search engine that has just started on a busy machine may need that long.
_RETRY_SECONDS, _RETRY_PAUSE_SECONDS = 60.0, 1.0


@dataclass(frozen=True, slots=True)
class Message:
    """One HTTP request: its headers in order, as sent (latin-1), and its body."""

    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Pair:
    """One prediction: the flower, the model's probability of each class, and the true class."""

    flower: tuple[float, ...]
    probabilities: tuple[float, ...]
    truth: str


@dataclass(frozen=True, slots=True)
class Story:
    """The predictions in order; the first WITH_FEEDBACK get feedback."""

    pairs: tuple[Pair, ...]
    classes: tuple[str, ...]
    seed: int
    accuracy_of_all: float

    def predicted(self, pair: Pair) -> str:
        """Return the class with the greatest probability."""
        return self.classes[pair.probabilities.index(max(pair.probabilities))]


def recorded() -> list[Message]:
    """Return the requests of a real Seldon executor, byte for byte, including odd bodies and ids."""
    source = importlib.resources.files("request_logger") / "demo" / "data" / "executor_seldon_rest.jsonl"
    lines = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    return [
        Message(tuple((name, value) for name, value in line["headers"]), base64.b64decode(line["body_base64"]))
        for line in lines
    ]


def make_story() -> Story:
    """Fit a classifier and let it predict unseen flowers.

    The model is a logistic regression on the two sepal measures, fit on 50 of the 150 irises: weak on purpose, so that
    there are mistakes to count. The other 100 flowers are the predictions; the first 63 get feedback. The seed of the
    split is the first of 0, 1, 2, ... with which 46 of those 63 predictions are right, so that the totals are those of
    Seldon's notebook. Probabilities and truths are not altered. Raises CommandError if scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_iris  # noqa: PLC0415  # from an optional extra
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
        from sklearn.model_selection import train_test_split  # noqa: PLC0415
    except ImportError as error:
        raise CommandError(
            f'the demo needs scikit-learn ({error}): run pip install "seldon-request-logger-scoring[demo]"'
        ) from None
    iris = load_iris()
    classes = tuple(str(name) for name in iris.target_names)
    for seed in range(_MAX_SEEDS):
        seen, unseen, seen_truth, unseen_truth = train_test_split(
            iris.data[:, : len(_FEATURES)], iris.target, test_size=PREDICTIONS, stratify=iris.target, random_state=seed
        )
        model = LogisticRegression(max_iter=1000).fit(seen, seen_truth)
        right = model.predict(unseen) == unseen_truth
        if int(right[:WITH_FEEDBACK].sum()) == REWARDED:
            rows = zip(unseen.tolist(), model.predict_proba(unseen).tolist(), unseen_truth.tolist(), strict=True)
            pairs = tuple(Pair(tuple(flower), tuple(chances), classes[truth]) for flower, chances, truth in rows)
            return Story(pairs, classes, seed, float(right.mean()))
    raise CommandError(f"no seed below {_MAX_SEEDS} gives {REWARDED} right answers of {WITH_FEEDBACK}")


def messages_of(story: Story, deployment: str) -> list[list[Message]]:
    """Return the events of each prediction: request, response, and for the first WITH_FEEDBACK the feedback."""
    now = datetime.now(UTC)
    events = []
    for number, pair in enumerate(story.pairs):
        request_id = str(uuid.uuid4())
        bodies: list[tuple[str, Any]] = [
            ("inference.request", {"data": {"names": list(_FEATURES), "ndarray": [pair.flower]}}),
            ("inference.response", {"data": {"names": story.classes, "ndarray": [pair.probabilities]}, "meta": {}}),
        ]
        if number < WITH_FEEDBACK:
            right = story.predicted(pair) == pair.truth
            bodies.append(("feedback", {"reward": int(right), "truth": {"data": {"ndarray": [pair.truth]}}}))
        sent = now - timedelta(minutes=PREDICTIONS - number)
        events.append(
            [
                event(kind, request_id, deployment, sent + timedelta(milliseconds=10 * step), body)
                for step, (kind, body) in enumerate(bodies)
            ]
        )
    return events


def event(kind: str, request_id: str, deployment: str, time: datetime, body: Any) -> Message:
    """Return an event as the Seldon executor sends it."""
    raw = json.dumps(body).encode()
    headers = {
        "Ce-Endpoint": "default",
        "Ce-Id": str(uuid.uuid4()),
        "Ce-Inferenceservicename": deployment,
        "Ce-Modelid": "classifier",
        "Ce-Namespace": NAMESPACE,
        "Ce-Requestid": request_id,
        "Ce-Source": "http://127.0.0.1:8000/",
        "Ce-Specversion": "1.0",
        "Ce-Time": utc_text(time),
        "Ce-Type": f"io.seldon.serving.{kind}",
        "Content-Type": "application/json",
        "Content-Length": str(len(raw)),
    }
    return Message((("Host", "request-logger"), *headers.items()), raw)


def send(url: str, messages: Sequence[Message], *, connections: int, tell: Callable[[int], None]) -> list[float]:
    """Send all messages over several connections; return the seconds that each took, in the order of the responses.

    A message that is answered 503 is sent again for up to _RETRY_SECONDS, as a sender should. ``tell`` is called
    regularly with the number of responses. Raises CommandError if a message is not acknowledged.
    """
    waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()
    for message in messages:
        waiting.put(message)
    seconds: list[float] = []
    problems: list[str] = []

    def work() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        try:
            for message in _taken(waiting):
                if problems:
                    return
                started = time.monotonic()
                status, answer = post(connection, message)
                while status == 503 and time.monotonic() - started < _RETRY_SECONDS:
                    time.sleep(_RETRY_PAUSE_SECONDS)
                    status, answer = post(connection, message)
                if not 200 <= status < 300:
                    problems.append(f"the server answered {status}: {answer.decode(errors='replace').strip()[:300]}")
                seconds.append(time.monotonic() - started)
        except (OSError, http.client.HTTPException) as error:
            problems.append(f"the server does not respond: {error!r}")
        finally:
            connection.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(connections, len(messages)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.5)
            tell(len(seconds))
    if problems:
        raise CommandError(problems[0])
    return seconds


def post(connection: http.client.HTTPConnection, message: Message) -> tuple[int, bytes]:
    """Send one message with exactly its headers; return the status and the body of the response."""
    connection.putrequest("POST", "/", skip_host=True, skip_accept_encoding=True)
    chunked = False
    for name, value in message.headers:
        connection.putheader(name, value.encode("latin-1"))
        chunked = chunked or name.lower() == "transfer-encoding"
    body = message.body
    if chunked:
        body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
    connection.endheaders(body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def _taken(waiting: queue.SimpleQueue[Message]) -> Iterator[Message]:
    while True:
        try:
            yield waiting.get_nowait()
        except queue.Empty:
            return
