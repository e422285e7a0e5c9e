"""Schemas are kept, and no event waits for a service that is slow or down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from request_logger.metadata import MetadataError, MetadataSource, metadata_source
from request_logger.metadata.oidc import MetadataUnavailableError
from request_logger.server.metadata_route import metadata_answer
from tests.metadata.stub import CLIENT, PASSWORD, SECRET, USER, DeployStub

LOAN = ("seldon", "gold", "g-md-loan-v2", "default")
TEXT = ("seldon", "gold", "g-md-text", "default")
# What scheduling on a busy machine may add to a bound.
SLACK = 1.5


def settings(**changes: Any) -> Any:
    known = {
        "deploy_api_host": "",
        "oidc_provider": "",
        "client_id": "",
        "client_secret": "",
        "oidc_scopes": "",
        "oidc_username": "",
        "oidc_password": "",
        "oidc_resource": "",
        "oidc_auth_method": "password_grant",
        "verify_ssl": False,
        "metadata_file": "",
        "metadata_ttl_seconds": 60.0,
        "metadata_wait_seconds": 0.5,
    }
    return SimpleNamespace(**(known | changes))


@pytest.fixture
def stub() -> Iterator[DeployStub]:
    with DeployStub() as started:
        yield started


def first(source: MetadataSource, deployment: tuple[str, str, str, str]) -> str | None:
    schema = source.schema_for(*deployment)
    return schema.requests[0].name if schema else None


def until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.01)


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    result = call()
    return result, time.monotonic() - started


def source_of(lookup: Any, **more: Any) -> MetadataSource:
    return MetadataSource(lookup, **more)


SCHEMA = {"requests": [{"name": "a", "type": "REAL"}]}


def test_twenty_events_are_one_lookup(stub: DeployStub) -> None:
    source = metadata_source(settings(deploy_api_host=stub.host))
    assert [first(source, LOAN) for _ in range(20)] == ["Years"] * 20
    assert len(stub.calls) == 2


def test_events_that_come_at_once_are_one_lookup(stub: DeployStub) -> None:
    source = metadata_source(settings(deploy_api_host=stub.host, metadata_wait_seconds=10.0))
    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(lambda _: first(source, LOAN), range(20))) == ["Years"] * 20
    assert len(stub.calls) == 2


def test_that_there_is_no_schema_is_kept_too(stub: DeployStub) -> None:
    source = metadata_source(settings(deploy_api_host=stub.host))
    assert [first(source, ("seldon", "gold", "g-none", "default")) for _ in range(20)] == [None] * 20
    assert len(stub.calls) == 1


def test_with_tokens_from_settings() -> None:
    with DeployStub(tokens=True) as stub:
        known = {"deploy_api_host": stub.host, "oidc_provider": stub.provider, "client_id": CLIENT}
        password = settings(**known, oidc_username=USER, oidc_password=PASSWORD)
        assert first(metadata_source(password), LOAN) == "Years"
        credentials = settings(**known, client_secret=SECRET, oidc_auth_method="client_credentials")
        assert first(metadata_source(credentials), LOAN) == "Years"


def test_deployments_do_not_leak_into_each_other(stub: DeployStub) -> None:
    stub.add("g-md-text", "loan", namespace="other")
    stub.add("g-md-text", "mixed", predictorName="canary")
    source = metadata_source(settings(deploy_api_host=stub.host))
    for _ in range(3):
        assert first(source, TEXT) == "Review"
        assert first(source, LOAN) == "Years"
        assert first(source, ("seldon", "other", "g-md-text", "default")) == "Years"
        assert first(source, ("seldon", "gold", "g-md-text", "canary")) == "Colour"
        assert first(source, ("inferenceservice", "gold", "g-md-text", "default")) is None


def test_without_a_name_or_a_namespace_nothing_is_asked(stub: DeployStub) -> None:
    source = metadata_source(settings(deploy_api_host=stub.host))
    assert source.schema_for("seldon", None, "x", "default") is None
    assert source.schema_for("seldon", "gold", None, "default") is None
    assert source.schema_for("seldon", "gold", "", None) is None
    assert stub.calls == []


def test_nothing_is_started_or_asked_before_the_first_event(stub: DeployStub) -> None:
    before = threading.active_count()
    source = metadata_source(settings(deploy_api_host=stub.host))
    assert source.enabled
    assert threading.active_count() == before
    assert stub.calls == []
    assert not metadata_source(settings()).enabled
    assert metadata_source(settings()).schema_for(*LOAN) is None


def test_a_slow_service_holds_up_one_event_for_the_bound_and_no_other(stub: DeployStub) -> None:
    stub.mode, stub.delay = "slow", 4.0
    happened: list[str] = []
    source = metadata_source(settings(deploy_api_host=stub.host, metadata_wait_seconds=0.3), happened.append)
    schema, seconds = timed(lambda: source.schema_for(*LOAN))
    assert schema is None
    assert 0.29 <= seconds < 0.3 + SLACK
    _, seconds = timed(lambda: [source.schema_for("seldon", "gold", f"d{i}", "default") for i in range(200)])
    assert seconds < SLACK
    _, seconds = timed(lambda: [source.schema_for(*LOAN) for _ in range(200)])
    assert seconds < SLACK
    assert happened == ["late"]
    until(lambda: first(source, LOAN) == "Years")


@pytest.mark.parametrize("mode", ["error", "garbage", "page", "drop"])
def test_an_outage_delays_nothing_and_ends_by_itself(stub: DeployStub, mode: str) -> None:
    stub.mode = mode
    made = metadata_source(settings(deploy_api_host=stub.host))
    source = source_of(made._lookup, wait_seconds=5.0, retry_seconds=0.3)
    _, seconds = timed(lambda: [source.schema_for(*LOAN) for _ in range(20)])
    assert seconds < 0.3 + SLACK
    _, seconds = timed(lambda: [source.schema_for("seldon", "gold", f"d{i}", "default") for i in range(200)])
    assert seconds < SLACK
    stub.mode = "ok"
    until(lambda: first(source, LOAN) == "Years")
    assert first(source, TEXT) == "Review"


def test_a_service_that_is_down_is_asked_once_in_a_while_for_all_deployments(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[Any] = []

    def down(deployment: Any) -> Any:
        asked.append(deployment)
        raise MetadataUnavailableError("down")

    source = source_of(down, retry_seconds=0.2)
    deadline = time.monotonic() + 0.7
    while time.monotonic() < deadline:
        for i in range(50):
            source.schema_for("seldon", "gold", f"d{i}", "default")
        time.sleep(0.01)
    assert 2 <= len(asked) <= 5
    assert sum("no metadata" in record.message for record in caplog.records) == 1


def test_an_old_schema_is_used_while_it_is_fetched_anew_and_during_an_outage(stub: DeployStub) -> None:
    source = metadata_source(settings(deploy_api_host=stub.host, metadata_ttl_seconds=0.2))
    assert first(source, LOAN) == "Years"
    stub.runtime[2]["modelUri"] = "gs://models/text"
    assert first(source, LOAN) == "Years"
    until(lambda: first(source, LOAN) == "Review")
    stub.mode = "error"
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        found, seconds = timed(lambda: first(source, LOAN))
        assert found == "Review"
        assert seconds < SLACK
        time.sleep(0.02)


def test_what_was_not_asked_for_in_a_long_time_is_not_used_as_old_as_it_is(stub: DeployStub) -> None:
    source = metadata_source(settings(deploy_api_host=stub.host, metadata_ttl_seconds=0.1, metadata_wait_seconds=5.0))
    assert first(source, LOAN) == "Years"
    stub.runtime[2]["modelUri"] = "gs://models/text"
    time.sleep(0.3)
    assert first(source, LOAN) == "Review"


def test_a_mistake_of_the_lookup_loses_no_event(caplog: pytest.LogCaptureFixture) -> None:
    answers: list[Any] = [KeyError("x"), SCHEMA]

    def lookup(deployment: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = source_of(lookup, retry_seconds=0.05)
    assert source.schema_for(*LOAN) is None
    until(lambda: first(source, LOAN) == "a")


def test_a_schema_with_mistakes_is_used_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    source = source_of(lambda _: {"requests": [{"name": "a"}, {}]}, ttl_seconds=0.01)
    for _ in range(20):
        assert first(source, LOAN) == "a"
        time.sleep(0.01)
    assert sum("feature 2" in record.message for record in caplog.records) == 1


def test_deployments_kept_and_waiting_are_bounded() -> None:
    release = threading.Event()

    def lookup(deployment: Any) -> Any:
        release.wait(10)
        return SCHEMA

    source = source_of(lookup, capacity=10, wait_seconds=0.0)
    for i in range(1000):
        source.schema_for("seldon", "gold", f"d{i}", "default")
    assert len(source._entries) == 10
    assert len(source._queue) <= 10
    release.set()
    until(lambda: source.schema_for("seldon", "gold", "d999", "default") is not None)


def test_the_file_comes_before_the_service(stub: DeployStub, tmp_path: Path) -> None:
    path = tmp_path / "metadata.yaml"
    path.write_text("rules: [{deployment: g-md-loan*, prediction_schema: {requests: [{name: Mine}]}}]")
    source = metadata_source(settings(deploy_api_host=stub.host, metadata_file=str(path)))
    assert first(source, LOAN) == "Mine"
    assert stub.calls == []
    assert first(source, TEXT) == "Review"
    alone = metadata_source(settings(metadata_file=str(path)))
    assert alone.enabled
    assert first(alone, LOAN) == "Mine"
    assert first(alone, TEXT) is None


def test_all_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("rules: [3]")
    with pytest.raises(MetadataError) as caught:
        metadata_source(
            settings(
                metadata_file=str(tmp_path / "m.yaml"),
                deploy_api_host="http://deploy",
                oidc_provider="http://issuer",
                client_id=CLIENT,
            )
        )
    assert str(caught.value).splitlines() == [
        f"METADATA_FILE: {tmp_path}/m.yaml: rule 1: expected an object, found 3",
        "OIDC_USERNAME: missing, OIDC_PROVIDER needs it",
        "OIDC_PASSWORD: missing, OIDC_PROVIDER needs it",
    ]


def test_the_diagnosis_asks_the_service_itself(stub: DeployStub) -> None:
    source = metadata_source(settings(deploy_api_host=stub.host))
    question = {"namespace": "gold", "name": "g-md-loan-kf", "serving_engine": "InferenceService"}
    answer, status = metadata_answer(source, question)
    assert status == 200
    assert [feature["name"] for feature in answer["requests"]] == ["Years", "Job", "Debt"]
    assert metadata_answer(source, question | {"serving_engine": "inferenceservice"}) == (answer, 200)
    assert metadata_answer(source, {}) == (None, 200)
    assert stub.calls[-1][1]["DeploymentName"] == "sklearn"
    assert stub.calls[-1][1]["DeploymentNamespace"] == "seldon"
    stub.mode = "error"
    answer, status = metadata_answer(source, {})
    assert status == 502
    assert "status 500" in answer["error"]


def test_one_diagnosis_at_a_time(stub: DeployStub) -> None:
    stub.mode, stub.delay = "slow", 0.5
    source = metadata_source(settings(deploy_api_host=stub.host))
    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(lambda _: metadata_answer(source, {})[1], range(4)))
    assert statuses.count(503) >= 2
    assert statuses.count(200) >= 1
