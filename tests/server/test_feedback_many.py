"""Many feedbacks in one POST /v1/feedback: JSON arrays, NDJSON and CSV; each has its own status."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from request_logger.documents.event import BadEventError
from request_logger.ingest.memory_budget import Budget, RequestTooLargeError
from request_logger.server.feedback_many import read
from request_logger.server.feedback_route import common_fields, event_of, feedback_event
from request_logger.settings import Settings
from tests.helpers import Index, Sender, Server, event, index_of, ndarray

NDJSON, CSV = "application/x-ndjson", "text/csv"
OBJECTS: list[dict[str, Any]] = [
    {"request_id": "r1", "deployment": "d", "truth": "a"},
    {"request_id": "r2", "deployment": "d", "truth": 1, "reward": 0.5},
    {"request_id": "r3", "deployment": "d", "truth": [0.5, 1], "prediction": {"a": 1}},
]


def values(raw: bytes, media_type: str = "application/json") -> list[Any]:
    budget = Budget(2**30)
    found = read(raw, media_type, budget)
    assert found is not None
    listed = list(found)
    assert budget.held_bytes == 0
    return [json.loads(value) if isinstance(value, bytes) else value for value in listed]


def table(*rows: list[Any]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


COLUMNS = ["request_id", "deployment", "truth", "reward", "prediction"]
AS_CSV = table(
    COLUMNS, *[[v if isinstance(v := row.get(name, ""), str) else json.dumps(v) for name in COLUMNS] for row in OBJECTS]
)


@pytest.mark.parametrize(
    ("raw", "media_type"),
    [
        (json.dumps(OBJECTS).encode(), "application/json"),
        (b" \n" + json.dumps(OBJECTS, indent=1).encode(), "application/x-www-form-urlencoded"),
        ("\n".join(map(json.dumps, OBJECTS)).encode(), NDJSON),
        ("\r\n\r\n".join(map(json.dumps, OBJECTS)).encode() + b"\r\n", "application/jsonl"),
        (AS_CSV, CSV),
        (b"\xef\xbb\xbf" + AS_CSV.replace(b"\r\n", b"\n"), CSV),
    ],
)
def test_each_form_has_the_same_objects(raw: bytes, media_type: str) -> None:
    assert values(raw, media_type) == OBJECTS


@pytest.mark.parametrize("raw", [b'{"truth": 1}', b"", b"  ", b"truth", b'"["'])
def test_anything_else_is_one_object(raw: bytes) -> None:
    """Also an array within one."""
    assert read(raw, "application/json", Budget(2**20)) is None


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("1", 1), ("1.5", 1.5), ("true", True), ('"1"', "1"), ("[1, 2]", [1, 2]), ('{"a": 1}', {"a": 1}),
        ("null", None), ("007", "007"), ("NaN", "NaN"), ("setosa", "setosa"), ("[1", "[1"), ("1 000", "1 000"),
        ("12345678901234567890123", 12345678901234567890123),
    ],
)  # fmt: skip
def test_cells_of_values_are_json_if_they_can_be(cell: str, value: Any) -> None:
    """Ids and names stay text, whatever they look like."""
    (found,) = values(table(["request_id", "truth"], [cell, cell]), CSV)
    assert found == {"request_id": cell, "truth": value}


def test_a_column_may_be_a_join_key() -> None:
    """The value stays text; rows may have an id instead, and the columns of other keys are empty."""
    rows = values(
        table(["request_id", "key.x-id", "key.response.id", "truth"], ["r", "", "", 1], ["", "007", "", "a"]), CSV
    )
    assert rows == [{"request_id": "r", "truth": 1}, {"key": {"x-id": "007"}, "truth": "a"}]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"", "body: expected CSV with a line of field names"),
        (b"a,,b\n1,2,3", "body: expected CSV with a line of field names"),
        (b"a,a\n1,2", "body: expected each column once"),
        (b'"a\n', "body: expected CSV in UTF-8 with a line of field names"),
        (b"\xff\xfea", "body: expected CSV in UTF-8 with a line of field names (another encoding)"),
    ],
)
def test_csv_without_names(raw: bytes, error: str) -> None:
    """Nothing of it can be stored: one error for all."""
    with pytest.raises(BadEventError) as raised:
        values(raw, CSV)
    assert str(raised.value).startswith(error)


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (b"r2,2,3\nr3,3\n", ["body: expected 2 cells, found 3"]),
        (b'r2,"2"x\nr3,3\n', ["the rest was not read"]),
        (b'r2,"2', ["the rest was not read"]),
        (b"r2,\xff\n", ["another encoding); the rest was not read"]),
    ],
)
def test_a_wrong_row_leaves_the_others(rows: bytes, error: list[str]) -> None:
    """Up to where the next row can't be found."""
    first, *others = values(b"request_id,truth\nr1,1\n\n" + b"x" * 10_000 + b",1\n" + rows, CSV)
    assert first == {"request_id": "r1", "truth": 1}
    errors = [str(other) for other in others if isinstance(other, BadEventError)]
    assert len(errors) == 1
    assert errors[0].endswith(error[0])
    assert ({"request_id": "r3", "truth": 3} in others) == ("not read" not in error[0])


cells = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8)


@given(rows=st.lists(st.tuples(cells, cells), max_size=6))
def test_csv_gives_back_any_text(rows: list[tuple[str, str]]) -> None:
    """Quotes, commas and line breaks within a cell."""
    found = values(table(["request_id", "model"], *map(list, rows)), CSV)
    assert [(row["request_id"], row["model"]) for row in found] == rows


def test_common_fields_are_those_of_each() -> None:
    """An object's own field takes precedence; unknown parameters and wrong values name themselves."""
    common = common_fields({"deployment": "d", "namespace": "n", "engine": "inferenceservice"})
    made = event_of(b'{"request_id": "r", "truth": 1, "namespace": "m"}', common, Settings())
    assert made.owner == ("inferenceservice", "m", "d", None)
    with pytest.raises(BadEventError, match=r"^depoyment: no such parameter; there are deployment, "):
        common_fields({"depoyment": "d"})
    with pytest.raises(BadEventError, match=r"^engine: expected seldon or inferenceservice"):
        event_of(b'{"request_id": "r", "truth": 1}', {**common, "engine": "x"}, Settings())


def test_one_of_many_is_limited_as_one_alone_is() -> None:
    """By MAX_PAYLOAD_BYTES, in every form; whole numbers of any size stay exact."""
    config = Settings(max_payload_bytes=100)
    with pytest.raises(RequestTooLargeError, match="MAX_PAYLOAD_BYTES"):
        event_of({"request_id": "r", "deployment": "d", "truth": "x" * 100}, {}, config)
    number = 12345678901234567890123
    value = {"request_id": "r", "deployment": "d", "truth": number, "time": "2026-01-01T00:00:00Z"}
    alone = feedback_event(json.dumps(value).encode(), Settings())
    assert event_of(value, {}, Settings()).body == alone.body


@pytest.fixture(scope="module")
def patient_server(make_server: Callable[..., Server]) -> Iterator[Server]:
    """A server that waits for the engine as long as a busy machine needs."""
    server = make_server(STORE_TIMEOUT_SECONDS="100")
    yield server
    server.stop()


@pytest.mark.engine
@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
def test_each_has_its_own_status(patient_server: Server, index: Index, deployment: str, form: str) -> None:
    """Those that can be stored are, and scored; the others say what is wrong with them."""
    sender = Sender(patient_server.url)
    names = {"deployment": deployment, "namespace": "test", "predictor": "default"}
    for k in range(3):
        headers = event("response", f"r{k}", deployment)
        assert sender.send(headers, ndarray([[0.2, 0.8]], ["a", "b"])) == (200, b"")
    sender.close()
    rows: list[dict[str, Any]] = [{"request_id": f"r{k}", "truth": "b"} for k in range(3)]
    wrong: list[dict[str, Any]] = [*rows[:2], {"request_id": "r9"}, rows[2]]

    def send(sent: list[dict[str, Any]]) -> requests.Response:
        body, kind = {
            "json": (json.dumps(sent).encode(), "application/json"),
            "ndjson": ("\n".join(map(json.dumps, sent)).encode(), NDJSON),
            "csv": (table(["request_id", "truth"], *[[r["request_id"], r.get("truth", "")] for r in sent]), CSV),
        }[form]
        url = f"{patient_server.url}/v1/feedback"
        return requests.post(url, body, params=names, headers={"Content-Type": kind}, timeout=120)

    answer = send(wrong)
    assert answer.status_code == 207
    assert answer.json()["accepted"] == 3
    statuses = answer.json()["results"]
    assert [each["status"] for each in statuses] == [200, 200, 400, 200]
    assert statuses[2]["error"] == "truth, truths, reward, metrics, evaluations, thumb: expected one of them"
    again = send(rows)
    each = {"status": 200, "prediction": "found"}
    assert (again.status_code, again.json()) == (200, {"accepted": 3, "results": [each] * 3})
    documents = index.documents(index_of(deployment))
    assert {id: source["metrics"]["correct"] for (_, id), source in documents.items()} == {"r0": 1, "r1": 1, "r2": 1}


@pytest.mark.engine
def test_ten_thousand(patient_server: Server, index: Index, deployment: str) -> None:
    """In one request, for predictions that come later: all are stored."""
    body = table(["request_id", "reward"], *[[f"r{k}", k % 2] for k in range(10_000)])
    url = f"{patient_server.url}/v1/feedback"
    names = {"deployment": deployment, "namespace": "test", "predictor": "default"}
    answer = requests.post(url, body, params=names, headers={"Content-Type": CSV}, timeout=200)
    each = {"status": 200, "prediction": "not_found"}
    assert (answer.status_code, answer.json()) == (200, {"accepted": 10_000, "results": [each] * 10_000})
    found = index.aggregate(index_of(deployment), {"sum": {"sum": {"field": "feedback.reward"}}})
    assert found["sum"]["value"] == 5_000
    assert index.count(index_of(deployment)) == 10_000


@pytest.mark.engine
@pytest.mark.parametrize(
    ("body", "kind", "error"),
    [
        ("[1, 2", "application/json", "body: expected"),
        ("a,a\n1,2", CSV, "body: expected each column once in the line of field names"),
    ],
)
def test_a_body_that_cannot_be_read(server: Server, body: str, kind: str, error: str) -> None:
    """One error in one line."""
    answer = requests.post(f"{server.url}/v1/feedback", body, headers={"Content-Type": kind}, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(error)
