"""POST /v1/marshal: KServe's batches are stored, and answered with the archive of what is stored."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests
from pyarrow import parquet

from request_logger.common.times import time_key
from request_logger.server.app import close, create_app
from request_logger.server.batch_route import Acknowledged
from request_logger.settings import Settings
from tests.helpers import Index, Server

KEY = "a key of the tests, long enough"
_NOWHERE = "http://127.0.0.1:9"
# Of an event of another kind, which is acknowledged and not stored.
OTHER = "com.example.other"


def entry(deployment: str, request_id: str, part: str = "request", **fields: Any) -> dict[str, Any]:
    """One entry as KServe's agent writes it."""
    body = {"instances": [[1, 2]], "email": "a@b.c"} if part == "request" else {"predictions": [[0.1, 0.9]]}
    return {
        "url": {"Scheme": "s3", "Host": "bucket", "Path": "/logs"},
        "bytes": base64.b64encode(json.dumps(body).encode()).decode(),
        "contentType": "application/json",
        "reqType": f"org.kubeflow.serving.inference.{part}",
        "id": request_id,
        "sourceUri": {"Scheme": "http", "Host": "localhost:9081", "Path": "/"},
        "inferenceService": deployment,
        "namespace": "test",
        "endpoint": "default",
        "component": "predictor",
        "metadata": {"X-Tenant": ["acme"], "X-Email": ["a@b.c"]},
        "occurrenceTime": f"2026-01-02T03:04:05.{1 if part == 'request' else 2}Z",
        **fields,
    }


def marshal(server: Server, batch: Any, query: str = "", **headers: str) -> requests.Response:
    raw = batch if isinstance(batch, bytes) else json.dumps(batch).encode()
    return requests.post(f"{server.url}/v1/marshal{query}", raw, headers=headers, timeout=60)


def pattern(deployment: str) -> str:
    return f"inference-log-inferenceservice-test-{deployment}-default"


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Server]) -> Server:
    """On a busy machine a new index takes longer than the default: a 503 would be right, and is not the question."""
    return make_server(STORE_TIMEOUT_SECONDS="40", GUNICORN_WORKERS="1")


@pytest.fixture(scope="module")
def redacting(make_server: Callable[..., Server]) -> Server:
    return make_server(
        REDACT="drop:email,hash:x-email", REDACT_KEY=KEY, INGEST_TOKEN="s3cret", MARSHAL_FORMAT="parquet",
        MAX_STRUCTURED_BYTES="20000", GUNICORN_WORKERS="1", STORE_TIMEOUT_SECONDS="40",
    )  # fmt: skip


@pytest.mark.engine
def test_a_batch_is_stored_and_archived(server: Server, index: Index, deployment: str) -> None:
    """NDJSON by default, with the header that names the object; the bodies are those that were sent."""
    batch = [entry(deployment, f"r{k}", part) for k in range(20) for part in ("request", "response")]
    answer = marshal(server, batch)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Log-Marshal-Extension"] == "ndjson"
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert "X-Log-Marshal-Left-Out" not in answer.headers
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [(row["id"], row["reqType"], row["bytes"]) for row in rows] == [
        (sent["id"], sent["reqType"], sent["bytes"]) for sent in batch
    ]
    documents = index.documents(pattern(deployment))
    assert len(documents) == 20
    assert all(source["request"]["metadata"]["x-tenant"] == "acme" for source in documents.values())
    assert all("response" in source for source in documents.values())


@pytest.mark.engine
def test_redaction_and_token(redacting: Server, index: Index, deployment: str) -> None:
    """The archive has no value that REDACT removes; Parquet by the setting, NDJSON by the parameter of the URL."""
    batch = [entry(deployment, "r1"), entry(deployment, "r2", bytes=base64.b64encode(b"a@b.c, no JSON").decode())]
    assert marshal(redacting, batch).status_code == 401
    answer = marshal(redacting, batch, Authorization="Bearer s3cret")
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Log-Marshal-Extension"] == "parquet"
    rows = parquet.read_table(io.BytesIO(answer.content)).to_pylist()
    assert json.loads(rows[0]["bytes"]) == {"instances": [[1, 2]]}
    hashed = index.documents(pattern(deployment))[pattern(deployment), "r1"]["request"]["metadata"]["x-email"]
    assert json.loads(rows[0]["metadata"]) == {"x-tenant": "acme", "x-email": hashed}
    assert hashed != "a@b.c"
    assert rows[1]["bytes"] is None
    assert json.loads(rows[1]["dropped"])["bytes"] == 14
    lines = marshal(redacting, batch, "?format=ndjson", Authorization="Bearer s3cret")
    assert lines.headers["X-Log-Marshal-Extension"] == "ndjson"
    assert "a@b.c" not in lines.text
    # The archive's claim that it is redacted has no effect here.
    claimed = [entry(deployment, "r3", redacted=json.loads(lines.text.splitlines()[0])["redacted"])]
    answer = marshal(redacting, claimed, "?format=ndjson", Authorization="Bearer s3cret")
    assert base64.b64decode(json.loads(answer.text)["bytes"]) == b'{"instances":[[1,2]]}'


@pytest.mark.engine
def test_too_large(redacting: Server, deployment: str) -> None:
    """The limit is named, and nothing of the batch is stored."""
    answer = marshal(redacting, [entry(deployment, "x" * 20_000)], Authorization="Bearer s3cret")
    assert (answer.status_code, answer.json()["error"]) == (413, "body: larger than MAX_STRUCTURED_BYTES allows")


@pytest.mark.engine
def test_bad_entries_are_left_out(server: Server, index: Index, deployment: str) -> None:
    """Each entry is judged alone: the good ones are stored and archived, the others counted in a header."""
    bad = [entry(deployment, ""), entry(deployment, "b1", bytes="?"), 5, entry(deployment, "b2", namespace=["test"])]
    batch = [bad[0], entry(deployment, "good"), *bad[1:], entry(deployment, "other", reqType=OTHER)]
    answer = marshal(server, batch)
    assert answer.status_code == 200
    assert answer.headers["X-Log-Marshal-Left-Out"] == "4"
    assert [json.loads(line)["id"] for line in answer.text.splitlines()] == ["good"]
    assert [key for _, key in index.documents(pattern(deployment))] == ["good"]


@pytest.mark.engine
@pytest.mark.parametrize(
    ("batch", "query", "error"),
    [
        (b'{"id": "a"}', "", "body: expected a JSON array"),
        (b"[{", "", "body: expected"),
        (b"null", "", "body: expected a JSON array"),
        ([5, {"id": "a"}], "", "event: expected a JSON object"),
        ([{"id": "a"}], "", "reqType: missing"),
        ([], "?format=csv", "format: expected ndjson or parquet"),
        ([], "?form=parquet", "parameters of the URL: expected only format"),
    ],
)
def test_nothing_can_be_stored(server: Server, batch: Any, query: str, error: str) -> None:
    """Where all entries are bad, the first one's error is the answer, which KServe's agent logs."""
    answer = marshal(server, batch, query)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)


@pytest.mark.engine
@pytest.mark.parametrize("form", ["ndjson", "parquet"])
def test_an_empty_archive(server: Server, deployment: str, form: str) -> None:
    """Nothing to store is no error."""
    for batch in ([], [entry(deployment, "r", reqType=OTHER)]):
        answer = marshal(server, batch, f"?format={form}")
        assert answer.status_code == 200
        rows = parquet.read_table(io.BytesIO(answer.content)).num_rows if form == "parquet" else len(answer.content)
        assert rows == 0


@pytest.mark.engine
def test_large_batches(server: Server, deployment: str, index: Index) -> None:
    """They are read piece by piece; a body that is too large for the engine is in the archive."""
    large = base64.b64encode(b"x" * 400_000).decode()
    batch = [*(entry(deployment, f"r{k}") for k in range(3_000)), entry(deployment, "large", bytes=large)]
    answer = marshal(server, batch)
    assert answer.status_code == 200, answer.text
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert [row["id"] for row in rows] == [sent["id"] for sent in batch]
    assert rows[-1]["bytes"] == large
    stored = index.documents(pattern(deployment), {"ids": {"values": ["large"]}})
    (source,) = stored.values()
    assert source["request"]["payload_dropped"]["bytes"] == 400_000


@pytest.mark.engine
def test_no_engine(make_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without a spool the whole call is 503 with Retry-After; with one, all of it is on disk and archived."""
    batch = [entry("nowhere", f"r{k}") for k in range(5)]
    server = make_server(_NOWHERE, ready=False, STORE_TIMEOUT_SECONDS="0.5", GUNICORN_WORKERS="1")
    answer = marshal(server, batch)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "X-Log-Marshal-Extension" not in answer.headers
    spool = str(tmp_path_factory.mktemp("spool"))
    server = make_server(_NOWHERE, ready=False, STORE_TIMEOUT_SECONDS="0.5", GUNICORN_WORKERS="1", SPOOL_DIR=spool)
    answer = marshal(server, batch)
    assert answer.status_code == 200
    assert len(answer.text.splitlines()) == 5


@pytest.mark.engine
def test_without_a_time(server: Server, index: Index, deployment: str) -> None:
    """KServe 0.17 sends none: document and archive have the same, that of arrival."""
    answer = marshal(server, [entry(deployment, "r1", occurrenceTime="0001-01-01T00:00:00Z")])
    (source,) = index.documents(pattern(deployment)).values()
    assert answer.json()["occurrenceTime"] == source["request"]["ce-time"]
    assert time_key(source["request"]["ce-time"]) is not None


def test_a_retry_is_archived_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries that an earlier attempt has stored, which was answered 503, are in the archive, redacted as they were."""
    monkeypatch.setattr(Acknowledged, "__contains__", lambda self, digest: True)
    monkeypatch.setattr(Acknowledged, "is_empty", False)
    app = create_app(Settings(elasticsearch_port=1, redact="drop:email"))
    try:
        answer = app.test_client().post("/v1/marshal", json=[entry("d", f"r{k}") for k in range(3)])
    finally:
        close(app)
    rows = [json.loads(line) for line in answer.data.splitlines()]
    assert [row["id"] for row in rows] == ["r0", "r1", "r2"]
    assert {base64.b64decode(row["bytes"]) for row in rows} == {b'{"instances":[[1,2]]}'}
