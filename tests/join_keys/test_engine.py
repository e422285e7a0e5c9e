"""Join keys on a real engine, through two loggers: the short form of `python -m bench.join_keys`, and the commands."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import requests

from bench.engines import Client
from bench.join_keys import SETTINGS, run
from request_logger.cli import main
from request_logger.common.join_keys import KEYS_INDEX
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

pytestmark = pytest.mark.engine


@pytest.mark.parametrize(("period", "suffix"), [("none", ""), ("month", "*")])
def test_two_loggers_join_once(make_server: Callable[..., Server], index: Index, period: str, suffix: str) -> None:
    """Before, between and after the predictions, repeated and corrected; with indices of months, too."""
    index.drop(f"{KEYS_INDEX}*")
    servers = [make_server(**SETTINGS, INDEX_PERIOD=period, GUNICORN_WORKERS="1") for _ in range(2)]
    result = run(Client(index.url), [server.url for server in servers], 30, suffix)
    for server in servers:
        server.stop()
    assert result.problems == []
    assert result.told["found"] >= 3 * 30
    assert result.late_key_writes == result.late_predictions == 3


def test_the_commands(
    make_server: Callable[..., Server],
    index: Index,
    deployment: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Feedback by a header of the request, one at a time and as CSV; its mapping; setup and prune know the index."""
    index.drop(f"{KEYS_INDEX}*")
    server = make_server(JOIN_KEYS="request.metadata.x-request-id", GUNICORN_WORKERS="1")
    sender = Sender(server.url)
    names = {"deployment": deployment, "namespace": "test", "predictor": "default"}
    url = f"{server.url}/v1/feedback"
    headers = {"Content-Type": "text/csv"}
    csv = "key.x-request-id,truth\nh0,yes\nh1,no\n"
    answer = requests.post(url, csv, params=names, headers=headers, timeout=60).json()
    assert answer == {"accepted": 2, "results": [{"status": 200, "prediction": "not_found"}] * 2}
    for number in range(2):
        metadata = json.dumps({"X-Request-Id": [f"h{number}"]})
        request = event("request", f"r{number}", deployment, Ce_Metadata=metadata)
        assert sender.send(request, ndarray([[1]])) == (200, b"")
        response = ndarray([[0.2, 0.8]], ["no", "yes"])
        assert sender.send(event("response", f"r{number}", deployment), response) == (200, b"")
    sender.close()
    body = {**names, "key": {"X-Request-Id": "h1"}, "truth": "yes"}
    answer = requests.post(url, json.dumps(body), timeout=60).json()
    assert (answer["prediction"], answer["metrics"]["correct"]) == ("found", 1)
    server.stop()
    documents = index.documents(index_of(deployment))
    assert {id: source["metrics"]["correct"] for (_, id), source in documents.items()} == {"r0": 1, "r1": 1}
    mapping = index.request("GET", f"/{KEYS_INDEX}/_mapping")[KEYS_INDEX]["mappings"]
    assert set(mapping["properties"]) == {"@timestamp", "join_key", "index"}
    monkeypatch.setenv("ELASTICSEARCH_HOST", index.url)
    monkeypatch.setenv("JOIN_KEYS", "request.metadata.x-request-id")
    assert main(["setup"]) == 0
    assert f"{KEYS_INDEX}: already installed" in capsys.readouterr().out
    assert main(["prune", "--older-than", "1h", "--dry-run"]) == 0
    assert f"{KEYS_INDEX}: 2 to remove" in capsys.readouterr().out
