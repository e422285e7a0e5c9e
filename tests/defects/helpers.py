"""What the tests of the defects share: senders that don't wait long, and events that must not suffer."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import requests

from bench.faults.proxy import Asked, Reply
from request_logger.common.json import loads
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

ANSWER_SECONDS = 8.0
LETTERS = "request-logger-dead-letters"
# What the docs say an event may be answered.
DOCUMENTED = (200, 400, 413, 422, 503)
PARTS = {
    "request": ndarray([[1, 2]]),
    "response": ndarray([[0.2, 0.8]]),
    "feedback": json.dumps({"reward": 1, "truth": {"data": {"ndarray": [1]}}}).encode(),
}
SCORERS = ("Raising", "OfNothing", "OfAList", "OfNumpy", "OfOddTypes")


def attributes_of(part: str, id: str, deployment: str) -> dict[str, Any]:
    """Return the attributes of an event in its structured form, without its data."""
    headers = event(part, id, deployment)
    return {name.removeprefix("Ce-").lower(): value for name, value in headers.items() if name.startswith("Ce-")}


def send(url: str, headers: dict[str, str], body: bytes) -> int:
    """Send an event over a new connection; return its status, 0 on a timeout."""
    sender = Sender(url, timeout=ANSWER_SECONDS)
    try:
        return sender.send(headers, body)[0]
    except OSError:
        return 0
    finally:
        sender.close()


class Others:
    """Ordinary events of a deployment of their own, sent while something happens to others."""

    def __init__(self, server: Server, deployment: str, connections: int = 2) -> None:
        self.deployment = f"{deployment}-others"
        self.answers: Counter[int] = Counter()
        self.longest = 0.0
        self._url = server.url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(connections)]

    def _run(self, number: int) -> None:
        count = 0
        while not self._stop.is_set():
            started = time.monotonic()
            self.answers[send(self._url, event("request", f"{number}-{count}", self.deployment), PARTS["request"])] += 1
            self.longest = max(self.longest, time.monotonic() - started)
            count += 1
            self._stop.wait(0.05)

    def __enter__(self) -> Others:
        # Its index is there before anything happens.
        assert send(self._url, event("request", "first", self.deployment), PARTS["request"]) == 200
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if kind is None:
            assert set(self.answers) == {200}, self.answers
            assert self.longest < ANSWER_SECONDS


def lives(server: Server, deployment: str) -> None:
    """Assert that a server takes events, for each of its writing threads."""
    for number in range(3):
        assert send(server.url, event("request", f"alive-{number}", f"{deployment}-alive"), PARTS["request"]) == 200


def stored(index: Index, deployment: str, id: str) -> dict[str, Any] | None:
    """Return a document as a reader with a strict JSON parser gets it."""
    answer = requests.get(f"{index.url}/{index_of(deployment)}/_doc/{id}", timeout=10)
    return loads(answer.content).get("_source")


def unavailable(asked: Asked) -> Reply | None:
    """Answer 503 to everything: a rule."""
    return Reply.of(b'{"error": {"type": "unavailable_shards_exception", "reason": "none"}, "status": 503}', 503)


def no_answer(asked: Asked) -> Reply | None:
    """Close the connection: a rule."""
    raise ConnectionError


def spooled(server: Server) -> float:
    """Return how many events wait in a server's spool."""
    text = requests.get(f"{server.url}/metrics", timeout=10).text
    found = re.search(r"^request_logger_spool_events\S* ([0-9.e+]+)", text, re.MULTILINE)
    return float(found[1]) if found else -1.0


def letters_of(deployment: str) -> dict[str, Any]:
    """Return the query for the dead letters of a deployment."""
    return {"term": {"index": index_of(deployment)}}


def post_large(url: str, headers: dict[str, str], body: bytes, seconds: float = 60) -> int:
    """Send a large body; a server that doesn't want it may answer and hang up before it has read all."""
    try:
        return requests.post(url, body, headers=headers, timeout=seconds).status_code
    except requests.RequestException:
        return 0


def scorers_config(folder: Path) -> str:
    """Write the rules that give each careless scorer the deployments that end with its name."""
    rules = [{"deployment": f"*-{name.lower()}*", "scorer": f"bench.faults.scorers.{name}"} for name in SCORERS]
    path = folder / "scorers.yaml"
    path.write_text(json.dumps({"rules": rules}))
    return str(path)
