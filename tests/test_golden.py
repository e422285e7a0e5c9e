"""Every recorded case of the original: the same documents, but for differences that are listed, each with a reason."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from request_logger.documents.envelope import parse_structured
from request_logger.documents.event import Body, from_headers, from_structured
from request_logger.settings import Settings
from tests.golden_differences import DIFFERENCES, NEW_FIELDS, STATUS, TABLE
from tests.helpers import DATA, Index, Sender, Server
from tests.metadata.stub import DeployStub

pytestmark = pytest.mark.engine

CASES = {path.stem: json.loads(path.read_text()) for path in sorted((DATA / "golden").glob("*.json"))}
ABSENT = "<absent>"
EVERYTHING = "inference-log-*,reference-log-*,drift-log-*,g-*"
Documents = dict[str, dict[str, Any]]


def body_of(message: dict[str, Any]) -> bytes:
    if "body_b64" in message:
        return base64.b64decode(message["body_b64"])
    return str(message["body"]).encode()


def indices_of(case: dict[str, Any]) -> set[str]:
    """The indices of a case: the recorded ones, and where our own naming puts its events."""
    names = {document["index"] for document in case["documents"]}
    settings = Settings.from_env({name: value for name, value in case["env"].items() if name != "DEPLOY_API_HOST"})
    for message in case["events"]:
        headers = {name.lower(): value for name, value in message["headers"].items()}
        try:
            if headers.get("content-type", "").startswith("application/cloudevents"):
                values = parse_structured(body_of(message))
                for value in values if isinstance(values, list) else [values]:
                    names.add(from_structured(value, settings).index)
            else:
                names.add(from_headers(headers, Body(b""), settings).index)
        except ValueError:
            continue
    return names


@pytest.fixture(scope="module")
def replayed(make_server: Callable[..., Server], index: Index) -> Iterator[dict[str, tuple[list[int], Documents]]]:
    """Send all cases; give each one's answers and documents."""
    index.drop(EVERYTHING)
    result: dict[str, tuple[list[int], Documents]] = {}
    used: set[str] = set()
    with DeployStub() as stub:
        for env in {json.dumps(case["env"]): case["env"] for case in CASES.values()}.values():
            server = make_server(**(env | ({"DEPLOY_API_HOST": stub.host} if "DEPLOY_API_HOST" in env else {})))
            sender = Sender(server.url)
            for name, case in CASES.items():
                if case["env"] != env:
                    continue
                mine = indices_of(case)
                if mine & used:  # a few cases write into an index of another's
                    index.drop(",".join(mine))
                used |= mine
                statuses = [
                    sender.send(
                        message["headers"],
                        body_of(message),
                        message.get("method", "POST"),
                        chunked=bool(message.get("chunked")),
                    )[0]
                    for message in case["events"]
                ]
                documents = index.documents(",".join(sorted(mine))) if mine else {}
                result[name] = (statuses, {id: source for (_, id), source in documents.items()})
            sender.close()
            server.stop()
    yield result


def without_new_fields(document: dict[str, Any]) -> dict[str, Any]:
    """A document without the top-level fields that the original doesn't have."""
    kinds = {"fold": int, "prediction": dict}
    assert all(type(document[field]) is kinds[field] for field in NEW_FIELDS if field in document)
    return {name: value for name, value in document.items() if name not in NEW_FIELDS}


def differences(expected: Any, found: Any, path: str = "") -> Iterator[str]:
    """Name each field in which two documents differ; numbers are equal by value."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(set(expected) | set(found)):
            yield from differences(expected.get(key, ABSENT), found.get(key, ABSENT), f"{path}.{key}" if path else key)
    elif expected != "<now>" and (expected != found or isinstance(expected, bool) != isinstance(found, bool)):
        yield path


@pytest.mark.parametrize("name", CASES)
def test_documents_are_those_of_the_original(name: str, replayed: Any) -> None:
    """Each document equals the recorded one field by field; what differs is in the table, and nothing else is."""
    case = CASES[name]
    _, found = replayed[name]
    expected = {document["id"]: document["source"] for document in case["documents"]}
    different = {
        field if len(expected.keys() | found.keys()) == 1 and "." not in id else f"{id}: {field}"
        for id in expected.keys() | found.keys()
        for field in (
            differences(expected[id], without_new_fields(found[id]))
            if id in expected and id in found
            else ["new document" if id in found else "no document"]
        )
    }
    listed = {field for field, _ in DIFFERENCES.get(name, [])}
    assert different == listed


@pytest.mark.parametrize("name", CASES)
def test_answers(name: str, replayed: Any) -> None:
    """Every answer is 200 but for those in the table."""
    statuses, _ = replayed[name]
    assert statuses == STATUS.get(name, [200] * len(statuses))


def test_tables_name_only_cases_that_exist() -> None:
    """A case that is gone leaves nothing in the tables."""
    assert set(DIFFERENCES) | set(STATUS) <= set(CASES)


def test_users_are_told_of_every_difference() -> None:
    """docs/compatibility.md names each reason of the table, and no other."""
    text = (DATA.parents[1] / "docs" / "compatibility.md").read_text()
    told = {line[2:].rstrip(".") for line in text.splitlines() if line.startswith("- ")}
    assert told == {*TABLE, *NEW_FIELDS.values()}


def test_every_prediction_has_the_new_fields(replayed: Any) -> None:
    """Or the rule above would hide that they are missing."""
    documents = [document for _, found in replayed.values() for document in found.values()]
    assert {field for document in documents for field in NEW_FIELDS if field in document} == set(NEW_FIELDS)
    assert all("fold" in document for document in documents if "request" in document)
