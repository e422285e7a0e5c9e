"""A client for Seldon Deploy's metadata service.

A lookup takes two requests: which model runs in a deployment (``GET /model/metadata/runtime``), and the metadata of
that model (``GET /model/metadata``). With an OpenID Connect provider each has a token; after a 401, a new token is
fetched once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import urllib3

from request_logger.common.json import loads
from request_logger.metadata.oidc import MetadataUnavailableError, OidcOptions, Tokens
from request_logger.metadata.schema import MetadataError

log = logging.getLogger(__name__)

REQUEST_SECONDS = 5.0
"""The time limit of a request."""
MAX_ANSWER_BYTES = 4 * 2**20
"""The limit of an answer, so that a wrong address can't use up the memory; schemas have some kilobytes."""

_TYPES = {"seldon": "SeldonDeployment", "inferenceservice": "InferenceService"}


class Deployment(NamedTuple):
    """A deployment, which has a schema. ``engine`` is the serving engine, seldon or inferenceservice.

    ``endpoint`` is the predictor, if known.
    """

    engine: str
    namespace: str
    name: str
    endpoint: str = ""


class DeployService:
    """Looks up schemas at ``host``, the API's base URL (``https://deploy/seldon-deploy/api/v1alpha1``).

    Thread-safe; sends nothing before the first lookup. Raises MetadataError if the host isn't a URL.
    """

    def __init__(self, host: str, oidc: OidcOptions | None = None, *, verify_ssl: bool = False) -> None:
        if not host.startswith(("http://", "https://")):
            raise MetadataError("DEPLOY_API_HOST: expected a URL that starts with http:// or https://")
        self._host = host.rstrip("/")
        if not verify_ssl:
            # As in the original, self-signed certificates work by default. urllib3 would warn at every request;
            # instead, one warning is logged here.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
            if host.startswith("https://"):
                log.warning("VERIFY_SSL is off: the certificate of DEPLOY_API_HOST is not verified")
            if oidc is not None and oidc.provider.startswith("https://"):
                log.warning("VERIFY_SSL is off: the certificate of OIDC_PROVIDER, which gets secrets, is not verified")
        self._http = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED" if verify_ssl else "CERT_NONE",
            timeout=urllib3.Timeout(total=REQUEST_SECONDS),
            retries=False,
            maxsize=2,
        )
        self._tokens = Tokens(oidc, self._send) if oidc else None

    def prediction_schema(self, deployment: Deployment) -> Mapping[str, Any] | None:
        """Return the schema of the only model that runs in a deployment; None if there is none, or several models.

        Raises MetadataUnavailableError if the service, or the token provider, gives no usable answer.
        """
        query = {
            "DeploymentName": deployment.name,
            "DeploymentNamespace": deployment.namespace,
            "DeploymentType": _TYPES.get(deployment.engine, deployment.engine),
            "DeploymentStatus": "Running",
        }
        if deployment.endpoint:
            query["PredictorName"] = deployment.endpoint
        running = _listed(self._get("/model/metadata/runtime", query), "runtimeMetadata", "runtime_metadata")
        if len(running) != 1:
            # With several models, the one that the columns belong to is unknown.
            return None
        uri = running[0].get("modelUri") or running[0].get("modelURI") or running[0].get("model_uri")
        if not uri:
            return None
        models = _listed(self._get("/model/metadata", {"URI": str(uri)}), "models")
        schema = (models[0].get("predictionSchema") or models[0].get("prediction_schema")) if models else None
        return schema if isinstance(schema, dict) and schema else None

    def _get(self, path: str, query: Mapping[str, str]) -> Any:
        url = f"{self._host}{path}?{urlencode(query)}"
        token = self._tokens.get() if self._tokens else ""
        status, answer = self._send("GET", url, _bearer(token))
        if status == 401 and self._tokens:
            status, answer = self._send("GET", url, _bearer(self._tokens.get(refused=token)))
        if status == 204 or (status == 404 and isinstance(answer, dict)):
            # The API's own 404 has a JSON body; any other 404 means a wrong address.
            return None
        if status != 200 or answer is None:
            raise MetadataUnavailableError(f"DEPLOY_API_HOST: expected JSON from {path}, found status {status}")
        return answer

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None) -> tuple[int, Any]:
        """Send a request; return its status and its JSON, None if the body isn't JSON."""
        where = url.partition("?")[0]
        try:
            answer = self._http.request(
                method,
                url,
                body=body,
                headers={"Accept": "application/json", **headers},
                preload_content=False,
                redirect=False,
            )
            raw = answer.read(MAX_ANSWER_BYTES + 1)
            if len(raw) > MAX_ANSWER_BYTES:
                answer.close()
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise MetadataUnavailableError(f"{where}: no answer ({type(error).__name__})") from error
        if len(raw) > MAX_ANSWER_BYTES:
            raise MetadataUnavailableError(f"{where}: expected at most {MAX_ANSWER_BYTES} bytes, found more")
        try:
            return answer.status, loads(raw)
        except json.JSONDecodeError:
            return answer.status, None


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _listed(answer: Any, *keys: str) -> list[dict[str, Any]]:
    """Return the entries of a list answer; the API omits an empty list."""
    if answer is None:
        return []
    if not isinstance(answer, dict):
        raise MetadataUnavailableError(
            f"DEPLOY_API_HOST: expected an object with {keys[0]}, found another kind of JSON"
        )
    found: Any = next((answer[key] for key in keys if answer.get(key)), [])
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
