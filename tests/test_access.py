"""Who may send and read, which namespaces are taken, and that no event writes where it should not."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import pytest
import requests
from hypothesis import assume, given
from hypothesis import strategies as st

from request_logger.documents.event import Body, Event, from_headers
from request_logger.ingest.access import Access, ForbiddenEventError
from request_logger.settings import Settings, SettingsError
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

BASIC = "Basic " + base64.b64encode("reader:pä:ss".encode()).decode()
TOKEN = "t0ken-of-the-senders"


def made(part: str = "inference.request", **attributes: str) -> Event:
    headers = {"ce-type": f"io.seldon.serving.{part}", "ce-requestid": "r1"}
    return from_headers(
        {**headers, **{f"ce-{name}": value for name, value in attributes.items()}}, Body(b""), Settings()
    )


def index_for(allowed: str, **attributes: str) -> str:
    return Access(Settings(allowed_namespaces=allowed)).admit(made(**attributes)).index


@pytest.mark.parametrize(
    ("authorization", "is_in"),
    [
        (f"Bearer {TOKEN}", True),
        (f"bearer  {TOKEN} ", True),
        ("Basic " + base64.b64encode(f"logger:{TOKEN}".encode()).decode(), True),
        ("Basic " + base64.b64encode(f"{TOKEN}:logger".encode()).decode(), False),
        (f"Bearer {TOKEN[:-1]}", False),
        (f"Bearer {TOKEN}x", False),
        ("Bearer ", False),
        (TOKEN, False),
        ("", False),
        (None, False),
        ("Bearer é", False),
        ("Basic %%%", False),
        (BASIC, False),
    ],
)
def test_senders(authorization: str | None, is_in: bool) -> None:
    """With INGEST_TOKEN an event needs it, as a bearer token or as the password of a URL; reading doesn't."""
    access = Access(Settings(ingest_token=TOKEN))
    challenge = access.challenge("/", authorization)
    assert (challenge is None) == is_in
    assert is_in or str(challenge).startswith("Bearer ")
    assert access.challenge("/metrics", None) is None


@pytest.mark.parametrize("path", ["/metrics", "/v1/metrics", "/metadata", "/whatever-comes-later"])
def test_readers(path: str) -> None:
    """With READ_USER every path but the probes' and the events' asks for it."""
    access = Access(Settings(read_user="reader", read_password="pä:ss"))
    assert access.challenge(path, BASIC) is None
    for wrong in (None, "", "Basic", "Basic x", "Bearer reader", BASIC[:-4], f"Bearer {TOKEN}"):
        assert str(access.challenge(path, wrong)).startswith("Basic ")
    for is_open in ("/", "/healthz", "/readyz"):
        assert access.challenge(is_open, None) is None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (Settings(read_user="reader"), "READ_PASSWORD"),
        (Settings(read_password="x"), "READ_USER"),
        (Settings(read_user="a:b", read_password="x"), "READ_USER"),
        (Settings(allowed_namespaces=" , "), "ALLOWED_NAMESPACES"),
    ],
)
def test_settings_that_make_no_sense(wrong: Settings, named: str) -> None:
    """One line at start, which names the variable."""
    with pytest.raises(SettingsError, match=rf"^{named}: [^\n]*$"):
        Access(wrong)


@pytest.mark.parametrize("namespace", ["prod", "team-a", "team-b"])
def test_allowed_namespaces(namespace: str) -> None:
    """Globs, with commas."""
    assert index_for("prod, team-*", namespace=namespace, inferenceservicename="m", endpoint="e")


@pytest.mark.parametrize("attributes", [{"namespace": "dev"}, {"namespace": "xprod"}, {"namespace": ""}, {}])
def test_other_namespaces(attributes: dict[str, str]) -> None:
    """Another namespace, or none, is refused with a text that names the field and echoes nothing."""
    with pytest.raises(ForbiddenEventError, match=r"^Ce-Namespace: ") as raised:
        index_for("prod", **attributes)
    assert "dev" not in str(raised.value)


NAMES = st.text("ab-", min_size=1, max_size=5)


@given(NAMES, NAMES, NAMES, NAMES, NAMES, NAMES)
def test_no_other_tenants_index(one: str, name: str, endpoint: str, two: str, name2: str, endpoint2: str) -> None:
    """Two loggers, each for one namespace: no names that a sender may choose lead to the other's index."""
    assume(one != two)
    mine = index_for(one, namespace=one, inferenceservicename=name, endpoint=endpoint)
    theirs = index_for(two, namespace=two, inferenceservicename=name2, endpoint=endpoint2)
    assert mine != theirs


def test_names_stay_where_nothing_can_meet() -> None:
    """A name without a dash, or whose other readings are allowed too, has the index that it always had."""
    plain = {"namespace": "team-a", "inferenceservicename": "fraud", "endpoint": "default"}
    assert index_for("team-a", **plain) == "inference-log-seldon-team-a-fraud-default"
    dashed = {**plain, "inferenceservicename": "fraud-model"}
    assert index_for("team-a,team-a-*", **dashed) == index_for("", **dashed)
    marked = index_for("team-a", **dashed)
    assert marked.startswith("inference-log-seldon-team-a-fraud-model-default-")
    assert marked == index_for("team-a,prod", **dashed)


@given(
    st.sampled_from(["inference.request", "reference.response", "inference.drift", "feedback"]),
    st.dictionaries(
        st.sampled_from(["namespace", "inferenceservicename", "modelid", "endpoint", "source"]),
        st.one_of(
            st.text(max_size=40),
            st.sampled_from(["../x", "*", ".kibana", "a,b", "<x-{now/d}>", "%2e%2e", "-", "", "ä" * 300, "x-" * 200]),
        ),
    ),
)
def test_an_index_is_within_its_prefix(part: str, attributes: dict[str, str]) -> None:
    """Whatever the headers say, the index belongs to the logger, and is one name: no glob, path, list or date math."""
    index = made(part, **attributes).index
    assert index.startswith(("inference-log-seldon-", "reference-log-seldon-", "drift-log-seldon-"))
    assert not set(index) & set('*?,/\\<>|"# :')
    assert len(index.encode()) <= 255


@pytest.mark.engine
def test_over_http(make_server: Callable[..., Server], index: Index, deployment: str) -> None:
    """401 with a challenge and one line of JSON; 403 names the field; nothing of either is stored."""
    server = make_server(
        INGEST_TOKEN=TOKEN,
        READ_USER="reader",
        READ_PASSWORD="pass",
        ALLOWED_NAMESPACES="test,test-*",
        GUNICORN_WORKERS="1",
    )
    right = {"Authorization": f"Bearer {TOKEN}"}
    batch_type = {"Content-Type": "application/cloudevents-batch+json"}
    attributes = {"id": "r9", "type": "io.seldon.serving.inference.request", "namespace": "other", "data": {}}
    for headers, status in (
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({**right, "Ce-Namespace": "other"}, 403),
        ({**right, "Ce-Namespace": ""}, 403),
        (right, 200),
    ):
        sent = {name: value for name, value in {**event("request", "r1", deployment), **headers}.items() if value}
        answer = requests.post(server.url, ndarray([[1]]), headers=sent, timeout=30)
        assert answer.status_code == status
        assert status == 200 or (answer.text.count("\n") == 1 and answer.json()["error"])
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)
        assert index.count("inference-log-*", {"term": {"Ce-Inferenceservicename": deployment}}) == (status == 200)
    answer = requests.post(server.url, json.dumps([attributes]), headers={**right, **batch_type}, timeout=30)
    assert answer.status_code == 207
    assert answer.json()["events"][0]["status"] == 403
    assert list(index.documents(index_of(deployment))) == [(index_of(deployment), "r1")]
    for path in ("/healthz", "/readyz"):
        assert requests.get(server.url + path, timeout=10).status_code == 200
    for path in ("/metrics", "/v1/anything"):
        assert requests.get(server.url + path, timeout=10).status_code == 401
    text = requests.get(f"{server.url}/metrics", auth=("reader", "pass"), timeout=10).text
    assert 'request_logger_events_total{outcome="forbidden",part=""} 3.0' in text
    assert 'request_logger_events_total{outcome="unauthorized",part=""} 2.0' in text
    # A URL is all that some senders can be given.
    with_token = server.url.replace("//", f"//logger:{TOKEN}@")
    assert requests.post(with_token, ndarray([[1]]), headers=event("request", "r2", deployment), timeout=30).ok
    server.stop()


@pytest.mark.engine
def test_markup_never_comes_back_as_such(sender: Sender, deployment: str) -> None:
    """Whatever an error quotes of the input, no answer has a character that markup starts with."""
    script = "<script>alert(1)</script>&"
    for headers in (
        {"Ce-Requestid": script, "Ce-Type": ""},
        event("request", script, deployment, Ce_Type=script),
        {"Content-Type": "application/cloudevents+json"},
        {"Content-Type": "application/cloudevents-batch+json"},
    ):
        _, body = sender.send(headers, json.dumps([script]).encode())
        assert not set(body) & set(b"<>&")
    _, body = sender.send({}, b"", path=f"/{script}?{script}")
    assert not set(body) & set(b"<>&")


def test_no_secret_is_in_the_settings_text() -> None:
    """The settings may end up in a log; their secrets don't."""
    names = [name for name, spec in Settings.__dataclass_fields__.items() if spec.metadata["secret"]]
    text = repr(Settings(**{**dict.fromkeys(names, "M4RKER"), "forward_headers": "X-Token: M4RKER"}))
    assert "M4RKER" not in text
    assert {"ingest_token", "read_password", "redact_key"} <= set(names)
