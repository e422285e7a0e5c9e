"""REDACT: what a rule names is nowhere in what is stored."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from request_logger.common.json import dumps
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import parts_of
from request_logger.ingest.redaction import UNPARSEABLE, RedactionError, Redactor
from request_logger.ingest.redaction_walk import Hasher
from request_logger.metadata import Schema, parse_schema
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, index_of

KEY = "a key of the tests, long enough"
HASH = Hasher(KEY.encode())
SECRET = "S3CRET"


def made(body: Any, part: str = "inference.request", content_type: str = "application/json", **headers: str) -> Event:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    attributes = {"ce-type": f"io.seldon.serving.{part}", "ce-requestid": "r1", "ce-namespace": "prod", **headers}
    return from_headers(attributes, Body(raw, content_type, len(raw)), Settings())


def stored(rules: str, body: Any, *args: Any, schema: Schema | None = None, **headers: str) -> list[dict[str, Any]]:
    redacted = Redactor(rules, KEY).redact(made(body, *args, **headers), schema)
    return [part.content for part in parts_of(redacted, schema)]


@pytest.mark.parametrize("action", ["drop", "hash"])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"data": {"names": ["age", "id"], "ndarray": [[1, SECRET], [2, SECRET]]}}, id="ndarray"),
        pytest.param({"data": {"names": ["age", "id"], "ndarray": [1, SECRET]}}, id="one row without its batch"),
        pytest.param({"data": {"names": ["id"], "ndarray": [SECRET, SECRET]}}, id="one column"),
        pytest.param({"data": {"names": "id", "ndarray": [SECRET]}}, id="names is a text"),
        pytest.param({"data": {"names": ["id", "age"], "ndarray": [SECRET] * 3}}, id="names that don't fit"),
        pytest.param({"data": {"names": ["age", "id"], "ndarray": [[1, [SECRET, [SECRET]]]]}}, id="nested cells"),
        pytest.param({"data": {"ndarray": [{"id": SECRET, "age": 3}]}}, id="rows with keys"),
        pytest.param({"instances": [{"id": SECRET}, {"id": {"b64": SECRET}}]}, id="TensorFlow rows"),
        pytest.param({"inputs": {"id": [SECRET, SECRET], "age": [1, 2]}}, id="TensorFlow columns"),
        pytest.param(
            {
                "inputs": [
                    {"name": "id", "datatype": "BYTES", "shape": [2], "data": [SECRET, SECRET]},
                    {"name": "age", "datatype": "INT64", "shape": [2], "data": [1, 2]},
                ]
            },
            id="V2 tensor",
        ),
        pytest.param(
            {"inputs": [{"name": "id", "datatype": "BYTES", "shape": [1, 6], "data": list(SECRET.encode())}]},
            id="V2 text as codes",
        ),
        pytest.param({"jsonData": {"deep": [{"id": {"more": [SECRET]}}]}}, id="JSON"),
        pytest.param({"strData": json.dumps({"customer": [{"id": SECRET}]})}, id="JSON in text"),
        pytest.param({"meta": {"tags": {"id": SECRET}}, "data": {"ndarray": [[1]]}}, id="tag"),
        pytest.param({"dataType": "tabular", "instance": [[1, SECRET]], "names": ["age", "id"]}, id="parsed, names"),
        pytest.param(
            {"dataType": "tabular", "instance": [[1, SECRET]], "elements": [{"age": 1, "id": SECRET}]}, id="parsed"
        ),
        pytest.param(
            {"dataType": "tabular", "names": [], "instance": [[1, SECRET]], "elements": [{"age": 1, "id": SECRET}]},
            id="parsed, no names",
        ),
        pytest.param({"names": ["age", "id"], "instances": [[1, SECRET]]}, id="TensorFlow, names"),
        pytest.param({"data": {"names": ["age", "id"]}, "instances": [[1, SECRET]]}, id="TensorFlow beside Seldon"),
        pytest.param({"unknown": {"id": SECRET}}, id="of no known protocol"),
        pytest.param([{"id": SECRET}], id="a list"),
        pytest.param(json.dumps({"id": SECRET}), id="JSON in JSON"),
        pytest.param(gzip.compress(json.dumps({"strData": "x", "id": SECRET}).encode()), id="gzip"),
        pytest.param(b'{"id": "first ' + SECRET.encode() + b'", "id": 2, "strData": "x"}', id="repeated key"),
        pytest.param(b'{"id": "' + SECRET.encode() + b'", "strData": ', id="cut"),
        pytest.param(b"\xff" + SECRET.encode(), id="no UTF-8"),
        pytest.param(SECRET.encode(), id="text"),
    ],
)
@pytest.mark.parametrize("part", ["inference.request", "inference.response", "feedback", "inference.outlier"])
def test_forms_of_a_value(body: Any, part: str, action: str) -> None:
    """In each form in which a message names a value it is gone, from the payload and from all that is made of it."""
    if part == "feedback" and isinstance(body, dict):
        body = {"reward": 1, "truth": body, "request": body}
    content = dumps(stored(f"{action}:id", body, part))
    for spelling in (SECRET.encode(), base64.b64encode(SECRET.encode()), str(list(SECRET.encode()))[1:-1].encode()):
        assert spelling not in content
        assert spelling.replace(b" ", b"") not in content


@pytest.mark.parametrize("content", ["tensor", "tftensor"])
def test_tensors(content: str) -> None:
    """Flat values: the named column is gone and the others stay, by name."""
    body = {
        "tensor": {"shape": [2, 2], "values": [1, 987654, 3, 987654]},
        "tftensor": {
            "dtype": "DT_INT32",
            "tensorShape": {"dim": [{"size": "2"}, {"size": "2"}]},
            "intVal": [1, 987654, 3, 987654],
        },
    }[content]
    for action, expected in (("drop", None), ("hash", HASH(987654))):
        parts = stored(f"{action}:id", {"data": {"names": ["age", "id"], content: body}})
        assert [part["elements"] for part in parts] == [{"age": 1, "id": expected}, {"age": 3, "id": expected}]
        assert b"987654" not in dumps(parts)


def test_positions_stay() -> None:
    """A dropped column leaves null: names and the scores of others keep their places."""
    (row,) = stored("drop:b", {"data": {"names": ["a", "b", "c"], "ndarray": [[1, 2, 3]]}})
    assert row["instance"] == [1, None, 3]
    assert row["elements"] == {"a": 1, "b": None, "c": 3}


SCHEMA, _ = parse_schema({"requests": [{"name": "age"}, {"name": "id"}]})


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"ndarray": [[1, SECRET], [2, SECRET]]}},
        {"instances": [[1, SECRET]]},
        {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1, 2], "data": ["1", SECRET]}]},
        {"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1, 2], "data": [["1", SECRET]]}]},
        {
            "inputs": [
                {"name": "x", "datatype": "BYTES", "shape": [1], "data": ["1"]},
                {"name": "y", "datatype": "BYTES", "shape": [1], "data": [SECRET]},
            ]
        },
    ],
)
def test_columns_that_a_schema_names(body: Any) -> None:
    """Names may come from the metadata alone; the other columns stay under their own."""
    parts = stored("drop:id", body, schema=SCHEMA)
    assert SECRET.encode() not in dumps(parts)
    assert all(float(part["elements"]["age"]) in (1, 2) for part in parts)


PATHS = {
    "$.data.ndarray[*][1]": ({"data": {"ndarray": [[1, SECRET], [2, SECRET]]}}, [[1, None], [2, None]]),
    "$.data.ndarray[0]": ({"data": {"ndarray": [[SECRET, SECRET], [2, 3]]}}, [[None, None], [2, 3]]),
    "$['data'].ndarray[*].x": ({"data": {"ndarray": [{"x": SECRET, "y": 1}]}}, [{"y": 1}]),
    "$.data.*[*].x": ({"data": {"ndarray": [{"x": SECRET, "y": 1}]}}, [{"y": 1}]),
}


@pytest.mark.parametrize("path", PATHS)
def test_paths(path: str) -> None:
    """A path is exact: the same name elsewhere stays."""
    body, left = PATHS[path]
    (part, *_) = stored(f"drop:{path}", {**body, "meta": {"tags": {"x": "kept"}}})
    assert part["payload"] == {"data": {"ndarray": left}, "meta": {"tags": {"x": "kept"}}}
    assert SECRET.encode() not in dumps(stored(f"hash:{path}", body))


def test_hashes_join() -> None:
    """One value has one hash in whatever way it is written, another key gives another, and null stays."""
    assert HASH(5) == HASH(5.0) == HASH("5") != HASH(6)
    assert HASH([1, [None, 2]]) == [HASH(1), [None, HASH(2)]]
    assert HASH({"a": 1, "b": 2}) == HASH({"b": 2, "a": 1})
    assert Hasher(b"another")(5) != HASH(5)
    assert len(HASH("x")) == 32


def test_numbers_that_json_can_not_keep() -> None:
    """A rule changes nothing else of a body: what is not finite is stored as without rules."""
    raw = b'{"data": {"ndarray": [[1.5, NaN, 9007199254740993000000]]}, "meta": {"tags": {"x": -Infinity}}}'
    assert stored("drop:other", raw) == stored("", raw)


def test_oversize_and_unparseable_bodies_keep_their_size_only() -> None:
    """Not even a plain hash of them, which gives away what is short; without a rule that is for them it is kept."""
    whole = Body(None, "application/json", 10, "f" * 64)
    for rules, left in (("drop:id", {}), ("", {"sha256": "f" * 64})):
        large = from_headers({"ce-type": "io.seldon.serving.feedback", "ce-requestid": "r1"}, whole, Settings())
        (part,) = parts_of(Redactor(rules, KEY).redact(large))
        dropped = part.content["payload_dropped"]
        assert "MAX_PAYLOAD_BYTES" in dropped.pop("reason")
        assert dropped == {"bytes": 10, **left}
    assert stored("drop:id", b"{") == [{"payload_dropped": {"bytes": 1, "reason": UNPARSEABLE}}]
    assert "base64" in stored("", b"{")[0]["payload"]


def test_rules_by_deployment(tmp_path: Path) -> None:
    """All rules that match apply; what one drops is dropped; an origin that none matches is left as it came."""
    path = tmp_path / "rules.yaml"
    path.write_text(
        "rules:\n- {namespace: 'prod*', hash: [id, mail]}\n- {deployment: 'fraud-*', drop: [id, '$.jsonData.x']}\n"
    )
    body = {"jsonData": {"id": 1, "mail": "m", "x": 2, "y": 3}}

    def left(**headers: str) -> Any:
        return stored(str(path), body, **{f"ce-{name}": value for name, value in headers.items()})[0]["payload"][
            "jsonData"
        ]

    assert left(inferenceservicename="other") == {"id": HASH(1), "mail": HASH("m"), "x": 2, "y": 3}
    assert left(inferenceservicename="fraud-1") == {"mail": HASH("m"), "y": 3}
    assert left(inferenceservicename="fraud-1", namespace="dev") == {"mail": "m", "y": 3}
    assert left(namespace="dev") == body["jsonData"]


@pytest.mark.parametrize(
    ("setting", "key", "named"),
    [
        ("drop:", KEY, "REDACT"),
        ("drop:a,keep:b", KEY, "REDACT"),
        ("drop:$.a..b", KEY, "REDACT"),
        ("drop:$", KEY, "REDACT"),
        ("drop:$.a[?(@.b)]", KEY, "REDACT"),
        ("hash:a", "", "REDACT_KEY"),
        ("hash:a", "short", "REDACT_KEY"),
        ("/nowhere/rules.yaml", KEY, "REDACT"),
    ],
)
def test_settings_that_make_no_sense(setting: str, key: str, named: str) -> None:
    """One line at start, which names the variable and not the key."""
    with pytest.raises(RedactionError, match=rf"^{named}: [^\n]*$") as raised:
        Redactor(setting, key)
    assert "short" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x: [", "is not YAML"),
        ("- drop", "list of rules"),
        ("rules: [1]", "rule 1: must be a mapping"),
        ("rules: [{drop: [a], dropp: [b]}]", "unknown key 'dropp'"),
        ("rules: [{drop: a}]", "list of names"),
        ("rules: [{drop: [1]}]", "list of names"),
        ("rules: [{namespace: 1, drop: [a]}]", "namespace must be text"),
        ("rules: [{namespace: x}]", "expected something"),
        ("rules: [{drop: ['$.']}]", "expected a path"),
    ],
)
def test_files_that_make_no_sense(tmp_path: Path, text: str, problem: str) -> None:
    """Each problem is a line that says where it is."""
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(RedactionError) as raised:
        Redactor(str(path), KEY)
    assert problem in str(raised.value)
    assert all(line.startswith(str(path)) for line in str(raised.value).splitlines())


SAFE = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(), st.text('xyz{["', max_size=4))
NAMES = st.sampled_from(
    ["id", "mail", "age", "data", "names", "inputs", "name", "meta", "elements", "instance", "truth"]
)
HIDDEN = st.one_of(st.just(SECRET), st.lists(st.just(SECRET), max_size=3), st.just({"a": SECRET}), st.just([[SECRET]]))


def _objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    plain = st.dictionaries(NAMES.filter(lambda name: name not in ("id", "mail")), inner, max_size=3)
    hidden = st.dictionaries(st.sampled_from(["id", "mail"]), HIDDEN, max_size=2)
    return st.one_of(
        st.lists(inner, max_size=3),
        st.builds(lambda one, other: {**one, **other}, plain, hidden),
        st.builds(
            lambda rows, other: {
                "names": ["id", "age", "mail"],
                "ndarray": [[SECRET, row, SECRET] for row in rows],
                **other,
            },
            st.lists(SAFE, max_size=3),
            st.dictionaries(st.just("meta"), inner),
        ),
        st.builds(json.dumps, inner),
    )


@given(
    st.recursive(SAFE, _objects, max_leaves=12),
    st.sampled_from(["drop:id,hash:mail", "hash:id,drop:mail"]),
    st.sampled_from(["inference.request", "inference.response", "feedback", "inference.outlier", "inference.drift"]),
)
def test_no_redacted_value_is_anywhere(value: Any, rules: str, part: str) -> None:
    """Whatever the body looks like: nothing that is stored has a value under a redacted name, plain or as base64."""
    raw = json.dumps(value).encode()
    for body in (value, {"data": value}, {"jsonData": value, "truth": value}, raw[: len(raw) // 2]):
        text = dumps(stored(rules, body, part)).decode()
        assert SECRET not in text
        for content in stored(rules, body, part):
            payload = content.get("payload")
            if isinstance(payload, dict) and isinstance(payload.get("base64"), str):
                assert SECRET.encode() not in base64.b64decode(payload["base64"])


@pytest.mark.engine
def test_over_http(
    make_server: Callable[..., Server], index: Index, deployment: str, refusing: Callable[[str], None]
) -> None:
    """Nothing of it is in the engine, also where the document is refused by its index and becomes a dead letter."""
    name = index_of(deployment)
    refusing(name)
    server = make_server(REDACT="drop:id,hash:mail", REDACT_KEY=KEY, GUNICORN_WORKERS="1")
    sender = Sender(server.url)
    other = event("request", "r1", f"{deployment}-2")
    body = {"data": {"names": ["id", "mail", "age"], "ndarray": [[SECRET, SECRET, 7]]}}
    for headers in (event("request", "r1", deployment), other):
        for raw in (json.dumps(body).encode(), b"{" + SECRET.encode()):
            assert sender.send(headers, raw)[0] == 200
    sender.close()
    letters = index.documents("request-logger-dead-letters")
    everything = json.dumps([*letters.values(), *index.documents(f"inference-log-*{deployment}*").values()])
    assert SECRET not in everything
    assert base64.b64encode(SECRET.encode()).decode()[:6] not in everything
    assert any(letter["index"] == name for letter in letters.values())
    server.stop()
    assert SECRET not in server.log.read_text()


@pytest.mark.engine
def test_the_spool_holds_nothing_of_it(
    make_server: Callable[..., Server], tmp_path: Path, index: Index, deployment: str
) -> None:
    """With the engine down events are redacted before they are on disk, and not a second time when they leave it."""
    env = {"REDACT": "drop:id,hash:mail", "REDACT_KEY": KEY, "GUNICORN_WORKERS": "1", "SPOOL_DIR": str(tmp_path)}
    server = make_server("http://127.0.0.1:1", ready=False, STORE_TIMEOUT_SECONDS="1", **env)
    sender = Sender(server.url)
    body = json.dumps({"data": {"names": ["id", "mail", "age"], "ndarray": [[SECRET, SECRET, 7]]}}).encode()
    assert sender.send(event("request", "r1", deployment), body)[0] == 200
    assert sender.send(event("request", "r2", deployment), SECRET.encode())[0] == 200
    sender.close()
    server.stop()
    assert (tmp_path / "spool.db").exists()
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.iterdir())
    server = make_server(**env)
    for _ in range(50):
        documents = {id: source["request"] for (_, id), source in index.documents(index_of(deployment)).items()}
        if len(documents) == 2:
            break
        time.sleep(0.2)
    server.stop()
    assert documents["r1"]["instance"] == [None, HASH(SECRET), 7]
    assert documents["r2"]["payload_dropped"]["reason"] == UNPARSEABLE
