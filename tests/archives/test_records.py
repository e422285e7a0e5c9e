"""Records of KServe's agent and of archives: what becomes of them; nothing is lost on the way through a file."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyarrow import parquet

from request_logger.archives import formats
from request_logger.archives.formats import NDJSON, PARQUET
from request_logger.archives.records import FIELDS, is_record, record_of
from request_logger.common.names import strip_header
from request_logger.documents.event import BadEventError, Event, IgnoredEventError
from request_logger.ingest.redaction import Redactor
from request_logger.settings import Settings
from tests.contract.events import as_record, settings_of, traffic

SETTINGS = Settings()
KEY = "a key of the tests, long enough"
BODY = b'{"instances": [[1, 2]], "email": "a@b.c", "order": 7}'
# As Go writes a LogRequest; TlsSkipVerify and the like are always there.
SENT: dict[str, Any] = {
    "url": {
        "Scheme": "s3",
        "Opaque": "",
        "User": None,
        "Host": "bucket",
        "Path": "/logs",
        "RawPath": "",
        "RawQuery": "",
    },
    "bytes": base64.b64encode(BODY).decode(),
    "contentType": "application/json",
    "reqType": "org.kubeflow.serving.inference.request",
    "id": "order-1",
    "sourceUri": {
        "Scheme": "http",
        "Opaque": "",
        "User": None,
        "Host": "localhost:9081",
        "Path": "/",
        "RawQuery": "a=b",
    },
    "inferenceService": "iris",
    "namespace": "demo",
    "component": "predictor",
    "endpoint": "default",
    "metadata": {"X-Tenant": ["acme"], "X-Email": ["a@b.c", "d@e.f"]},
    "annotations": {"team": "risk"},
    "certName": "service-ca.crt",
    "occurrenceTime": "2026-01-02T03:04:05.123456789Z",
}


def read(content: bytes, form: str) -> list[dict[str, Any]]:
    if form == PARQUET:
        return list(parquet.read_table(io.BytesIO(content)).to_pylist())
    return [json.loads(line) for line in content.splitlines()]


def through_file(record: Any, settings: Settings, form: str, redactor: Redactor) -> tuple[Event, Event, str]:
    """Return the event as it is stored live, and as it is stored from the archive; and the archive's text."""
    live = redactor.redact(record.event(settings))
    content = formats.write([record.row(live, redactor.fingerprint(live))], form)
    (row,) = read(content, form)
    found = record_of(row)
    event = found.event(settings)
    return live, redactor.redact(event, redacted_by=found.redacted_by), json.dumps(row, default=repr)


def test_a_record_of_kserve() -> None:
    """Each field arrives where its CloudEvents attribute does."""
    event = record_of(SENT).event(SETTINGS)
    assert event.index == "inference-log-inferenceservice-demo-iris-default"
    assert (event.part, event.request_id, event.time) == ("request", "order-1", SENT["occurrenceTime"])
    assert event.source == strip_header("http://localhost:9081/?a=b")
    assert event.body.raw == BODY
    assert event.extensions == {
        "metadata": {"x-tenant": "acme", "x-email": ["a@b.c", "d@e.f"]},
        "annotations": {"team": "risk"},
        "ce-component": "predictor",
    }


@pytest.mark.parametrize("form", [NDJSON, PARQUET])
def test_through_a_file(form: str) -> None:
    """Every event of the contract is the same event again, also one whose body is too large for the search engine."""
    settings, count = settings_of("x"), 0
    for sent in traffic():
        record = record_of(json.loads(as_record(sent)))
        try:
            live, found, _ = through_file(record, settings, form, Redactor())
        except (BadEventError, IgnoredEventError):
            continue
        assert found == live, sent.name
        count += 1
    assert count > 250


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@example(metadata="text", annotations={"a.b": 1, "a": 2}, form=PARQUET)
@hypothesis_settings(max_examples=50, deadline=None)
@given(metadata=VALUES, annotations=VALUES, form=st.sampled_from([NDJSON, PARQUET]))
def test_any_metadata_through_a_file(metadata: Any, annotations: Any, form: str) -> None:
    """What can't be indexed is kept apart, as it is live."""
    record = record_of({**SENT, "metadata": metadata, "annotations": annotations})
    live, found, _ = through_file(record, SETTINGS, form, Redactor())
    assert found.extensions == live.extensions


@pytest.mark.parametrize("form", [NDJSON, PARQUET])
@pytest.mark.parametrize(
    "rules",
    ["drop:email,hash:order,drop:x-email", r"hash:/[a-z]@[a-z]\.[a-z]/", r"drop:/[a-z]@[a-z]\.[a-z]/,hash:order"],
)
def test_redaction_holds_in_the_archive(rules: str, form: str) -> None:
    """What REDACT removes is not in it, and what it hashes is hashed once."""
    live, found, text = through_file(record_of(SENT), SETTINGS, form, Redactor(rules, KEY))
    assert found == live
    assert "a@b.c" not in text
    assert base64.b64encode(BODY)[:20].decode() not in text


def test_other_rules_hold_for_an_older_archive() -> None:
    """A value that a rule names now is removed; the hashes of the rules of then stay."""
    old, new = Redactor("hash:email", KEY), Redactor("hash:email,drop:order", KEY)
    live = old.redact(record_of(SENT).event(SETTINGS))
    found = record_of(record_of(SENT).row(live, old.fingerprint(live)))
    event = new.redact(found.event(SETTINGS), redacted_by=found.redacted_by)
    kept = json.loads(event.body.raw or b"")
    assert kept == {"instances": [[1, 2]], "email": json.loads(live.body.raw or b"")["email"]}
    # A claim over HTTP has no effect: the route passes none on.
    assert json.loads(new.redact(found.event(SETTINGS)).body.raw or b"")["email"] != kept["email"]


def test_fingerprints_differ() -> None:
    """By rule, key and strictness, not by their order."""
    event = record_of(SENT).event(SETTINGS)
    made = [
        Redactor("drop:a,hash:b", KEY), Redactor("drop:b,hash:a", KEY), Redactor("drop:a,hash:b", KEY + "x"),
        Redactor("drop:a,hash:b", KEY, strict=False), Redactor("drop:/a/,hash:b", KEY),
        Redactor("drop:$.a,hash:b", KEY),
    ]  # fmt: skip
    assert len({redactor.fingerprint(event) for redactor in made}) == len(made)
    assert Redactor("hash:b,drop:a", KEY).fingerprint(event) == made[0].fingerprint(event)
    assert Redactor().fingerprint(event) == ""


def test_a_body_that_cannot_be_redacted_is_not_in_the_archive() -> None:
    """Only its size, from which the same document is made."""
    record = record_of({**SENT, "bytes": base64.b64encode(b"a@b.c is no JSON").decode()})
    live, found, text = through_file(record, SETTINGS, NDJSON, Redactor("drop:email"))
    assert live.body.raw is None
    assert found == live
    assert "bytes" not in record.row(live, "x")
    assert base64.b64encode(b"a@b.c")[:6].decode() not in text


def test_names_in_any_case() -> None:
    """Go reads them so, and versions of KServe before 0.17 write them with capitals; others are ignored."""
    capitals = {f"{name[0].upper()}{name[1:]}": value for name, value in SENT.items()}
    assert record_of(capitals).event(SETTINGS) == record_of(SENT).event(SETTINGS)
    assert is_record(capitals)
    assert not is_record({"type": "org.kubeflow.serving.inference.request"})


def test_a_time_that_was_never_set() -> None:
    """Go writes year 1."""
    record = record_of({**SENT, "occurrenceTime": "0001-01-01T00:00:00Z"})
    assert not record.has_time
    assert record.event(SETTINGS).time is None
    assert record.event(SETTINGS, "2026-01-02T00:00:00Z").time == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"id": ""}, "requestId: missing, and so is id"),
        ({"id": 5}, "id: expected text, found a number"),
        ({"reqType": None}, "reqType: missing"),
        ({"bytes": "a"}, "bytes: expected base64 text"),
        ({"bytes": "?"}, "bytes: expected base64 text"),
        ({"bytes": "ä"}, "bytes: expected base64 text"),
        ({"bytes": [1]}, "bytes: expected base64 text, found an array"),
        ({"contentType": {}}, "contentType: expected text, found an object"),
        ({"sourceUri": []}, "sourceUri: expected text, found an array"),
        ({"bytes": None, "dropped": "x"}, "dropped: expected an object with the size in bytes"),
        ({"bytes": None, "dropped": {"bytes": -1}}, "dropped: expected an object with the size in bytes"),
        ({"bytes": None, "dropped": {"bytes": 2**63}}, "dropped: expected an object with the size in bytes"),
        ({"bytes": None, "dropped": {"bytes": True}}, "dropped: expected an object with the size in bytes"),
    ],
)  # fmt: skip
def test_bad_records(changes: dict[str, Any], error: str) -> None:
    """The text names the field, and never its value."""
    with pytest.raises(BadEventError) as raised:
        record_of({**SENT, **changes}).event(SETTINGS)
    assert str(raised.value).startswith(error)


@hypothesis_settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6))
def test_any_record(changes: dict[str, Any]) -> None:
    """It is an event or one of the documented errors; and whatever is an event can be written."""
    try:
        record = record_of({**SENT, **changes})
        event = record.event(SETTINGS)
    except (BadEventError, IgnoredEventError):
        return
    for form in (NDJSON, PARQUET):
        assert formats.write([record.row(event, "")], form)


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_no_record(value: Any) -> None:
    with pytest.raises(BadEventError, match="event: expected a JSON object"):
        record_of(value)


def test_metadata_fields_hold_for_archives() -> None:
    """Names that are not wanted are in neither document nor archive; nor from an archive that has them."""
    settings = Settings(metadata_fields="x-tenant")
    record = record_of({**SENT, "metadata": {"X-Tenant": ["acme"], "X-Email": ["a@b.c"], "X-Deep": [{"a": 1}]}})
    row = record.row(record.event(settings), "")
    assert row["metadata"] == {"x-tenant": "acme"}
    assert "unindexed" not in row
    everything = record_of(record.row(record.event(SETTINGS), ""))
    assert everything.fields["unindexed"] == {"metadata": {"x-deep": [{"a": 1}]}}
    assert everything.event(settings).extensions == {
        "metadata": {"x-tenant": "acme"},
        "ce-component": "predictor",
    }
