"""The service's client against a real HTTP server: what it asks, its tokens, and every kind of failure."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import pytest

from request_logger.metadata import Deployment, MetadataError
from request_logger.metadata.oidc import MetadataUnavailableError, OidcOptions
from request_logger.metadata.service import MAX_ANSWER_BYTES, DeployService
from tests.metadata.stub import CLIENT, PASSWORD, SECRET, USER, DeployStub

LOAN = Deployment("seldon", "gold", "g-md-loan-v2", "default")


@pytest.fixture
def stub() -> Iterator[DeployStub]:
    with DeployStub() as started:
        yield started


@pytest.fixture
def guarded() -> Iterator[DeployStub]:
    with DeployStub(tokens=True) as started:
        yield started


def options(stub: DeployStub, **changes: Any) -> OidcOptions:
    known = {"provider": stub.provider, "client_id": CLIENT, "username": USER, "password": PASSWORD}
    return OidcOptions(**(known | changes))


def named(schema: Any) -> list[str]:
    return [feature["name"] for feature in schema["requests"]]


def test_a_lookup_is_two_requests_with_the_services_own_parameters(stub: DeployStub) -> None:
    assert named(DeployService(stub.host + "/").prediction_schema(LOAN)) == ["Years", "Job", "Debt"]
    (runtime, asked, headers), (models, uri, _) = stub.calls
    assert (runtime, models) == ("/api/model/metadata/runtime", "/api/model/metadata")
    assert asked == {
        "DeploymentName": "g-md-loan-v2",
        "DeploymentNamespace": "gold",
        "DeploymentType": "SeldonDeployment",
        "DeploymentStatus": "Running",
        "PredictorName": "default",
    }
    assert uri == {"URI": "gs://models/loan"}
    assert "Authorization" not in headers


def test_inference_services_are_asked_for_as_such_and_without_an_unknown_predictor(stub: DeployStub) -> None:
    service = DeployService(stub.host)
    assert service.prediction_schema(Deployment("inferenceservice", "gold", "g-md-loan-kf"))
    assert stub.calls[0][1]["DeploymentType"] == "InferenceService"
    assert "PredictorName" not in stub.calls[0][1]
    assert service.prediction_schema(Deployment("seldon", "gold", "g-md-loan-kf")) is None


@pytest.mark.parametrize("name", ["g-none", "g-md-two"])
def test_no_model_or_several_give_no_schema(stub: DeployStub, name: str) -> None:
    assert DeployService(stub.host).prediction_schema(Deployment("seldon", "gold", name, "default")) is None


def test_models_that_are_unknown_or_without_a_schema_give_none(stub: DeployStub) -> None:
    stub.add("gone", "never")
    stub.add("bare", "bare")
    stub.models.append({"URI": "gs://models/bare", "name": "bare"})
    service = DeployService(stub.host)
    for name in ("gone", "bare"):
        assert service.prediction_schema(Deployment("seldon", "gold", name)) is None


@pytest.mark.parametrize("mode", ["error", "page", "garbage", "drop"])
def test_no_usable_answer_is_an_error_of_one_line(stub: DeployStub, mode: str) -> None:
    stub.mode = mode
    with pytest.raises(MetadataUnavailableError) as caught:
        DeployService(stub.host).prediction_schema(LOAN)
    assert len(str(caught.value).splitlines()) == 1


def test_a_wrong_path_a_closed_port_and_no_host_are_errors(stub: DeployStub) -> None:
    with pytest.raises(MetadataUnavailableError):
        DeployService("http://127.0.0.1:9/api").prediction_schema(LOAN)
    with pytest.raises(MetadataUnavailableError):
        DeployService("http://no-such-host.invalid/api").prediction_schema(LOAN)
    with pytest.raises(MetadataError, match=r"DEPLOY_API_HOST: expected a URL that starts with http:// or https://$"):
        DeployService("deploy.example/api")


def test_an_answer_without_end_is_not_read(stub: DeployStub) -> None:
    stub.models[0]["predictionSchema"]["note"] = "x" * MAX_ANSWER_BYTES
    with pytest.raises(MetadataUnavailableError, match="expected at most"):
        DeployService(stub.host).prediction_schema(LOAN)


def test_password_grant(guarded: DeployStub) -> None:
    service = DeployService(guarded.host, options(guarded, scopes="openid profile", resource="deploy"))
    assert named(service.prediction_schema(LOAN)) == ["Years", "Job", "Debt"]
    path, form, headers = guarded.calls[1]
    assert path.endswith("/protocol/openid-connect/token")
    assert form == {
        "grant_type": "password",
        "username": USER,
        "password": PASSWORD,
        "scope": "openid profile",
        "resource": "deploy",
        "client_id": CLIENT,
    }
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_password_grant_without_an_identity_token(guarded: DeployStub) -> None:
    service = DeployService(guarded.host, options(guarded, scopes="profile", client_secret=SECRET))
    assert service.prediction_schema(LOAN)
    assert "client_id" not in guarded.calls[1][1]


def test_client_credentials_as_a_basic_header(guarded: DeployStub) -> None:
    chosen = options(guarded, auth_method="client_credentials", client_secret=SECRET, username="", password="")
    assert DeployService(guarded.host, chosen).prediction_schema(LOAN)
    _, form, headers = guarded.calls[1]
    assert form["grant_type"] == "client_credentials"
    assert "client_secret" not in form
    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")).decode() == f"{CLIENT}:{SECRET}"


def test_client_credentials_in_the_form_where_the_provider_wants_them_there() -> None:
    with DeployStub(tokens=True, auth_methods=["client_secret_post", "private_key_jwt"]) as stub:
        chosen = options(stub, auth_method="client_credentials", client_secret=SECRET)
        assert DeployService(stub.host, chosen).prediction_schema(LOAN)
        assert stub.calls[1][1]["client_secret"] == SECRET


def test_a_token_is_kept_and_renewed_before_it_expires(guarded: DeployStub) -> None:
    guarded.token_seconds = 1
    service = DeployService(guarded.host, options(guarded))
    for _ in range(5):
        assert service.prediction_schema(LOAN)
    assert sum(path.endswith("/token") for path, _, _ in guarded.calls) == 1
    time.sleep(1)
    assert service.prediction_schema(LOAN)
    assert sum(path.endswith("/token") for path, _, _ in guarded.calls) == 2
    assert sum(path.endswith("/openid-configuration") for path, _, _ in guarded.calls) == 1


def test_a_token_that_is_refused_is_replaced_once(guarded: DeployStub) -> None:
    service = DeployService(guarded.host, options(guarded))
    assert service.prediction_schema(LOAN)
    guarded.revoke()
    assert service.prediction_schema(LOAN)
    assert sum(path.endswith("/token") for path, _, _ in guarded.calls) == 2
    guarded.token_seconds = -1
    guarded.revoke()
    with pytest.raises(MetadataUnavailableError, match="status 401"):
        service.prediction_schema(LOAN)
    assert sum(path.endswith("/token") for path, _, _ in guarded.calls) == 3


def test_wrong_credentials_and_a_provider_that_is_none_are_told(guarded: DeployStub) -> None:
    with pytest.raises(MetadataUnavailableError, match=r"expected a token, found status 400 \(invalid_grant\)"):
        DeployService(guarded.host, options(guarded, password="wrong")).prediction_schema(LOAN)
    with pytest.raises(MetadataUnavailableError, match="expected its configuration, found status 404"):
        DeployService(guarded.host, options(guarded, provider=guarded.url)).prediction_schema(LOAN)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"auth_method": "auth_code"},
            "OIDC_AUTH_METHOD: expected password_grant or client_credentials, found 'auth_code'",
        ),
        ({"client_id": ""}, "CLIENT_ID: missing, OIDC_PROVIDER needs it"),
        ({"password": ""}, "OIDC_PASSWORD: missing, OIDC_PROVIDER needs it"),
        ({"auth_method": "client_credentials"}, "CLIENT_SECRET: missing, OIDC_PROVIDER needs it"),
    ],
)
def test_settings_that_can_give_no_token_are_told(changes: dict[str, str], expected: str) -> None:
    known = {"provider": "https://issuer", "client_id": CLIENT, "username": USER, "password": PASSWORD}
    with pytest.raises(MetadataError) as caught:
        OidcOptions(**(known | changes))
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("host", "provider", "named_in_warnings"),
    [
        ("https://deploy/api", "https://keycloak/realm", ["DEPLOY_API_HOST", "OIDC_PROVIDER"]),
        ("http://deploy/api", "https://keycloak/realm", ["OIDC_PROVIDER"]),
        ("https://deploy/api", "http://keycloak/realm", ["DEPLOY_API_HOST"]),
        ("http://deploy/api", "http://keycloak/realm", []),
        ("https://deploy/api", None, ["DEPLOY_API_HOST"]),
    ],
)
@pytest.mark.parametrize("verify", [False, True])
def test_what_is_not_verified_is_warned_of(
    host: str, provider: str | None, named_in_warnings: list[str], verify: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the service and of the token provider, which is sent the secret; nothing where both are verified."""
    given = OidcOptions(provider, "id", "a-secret", username="user", password="a-password") if provider else None
    DeployService(host, given, verify_ssl=verify)
    said = [record.getMessage() for record in caplog.records]
    assert [text.split("certificate of ")[1].split()[0].rstrip(",") for text in said] == (
        [] if verify else named_in_warnings
    )
    assert not any("a-secret" in text or "a-password" in text for text in said)
