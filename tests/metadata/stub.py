"""Seldon Deploy's metadata service and its token provider: a real HTTP server that answers from tests/data/metadata.

    with DeployStub() as stub:  # DEPLOY_API_HOST=stub.host
        stub.mode = "slow"

``mode`` is ok, slow (answers after ``delay`` seconds), error (500), page (a login page's redirect), garbage (no JSON)
or drop (closes the connection). With ``tokens=True`` the service wants a token: OIDC_PROVIDER=stub.provider.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DATA = Path(__file__).parents[1] / "data" / "metadata"

API = "/api"
REALM = "/auth/realms/deploy-realm"
CLIENT = "sd-api"
SECRET = "s3cret:/@"
USER = "admin@seldon.io"
PASSWORD = "p@ss:/w"


class DeployStub:
    """The server; ``calls`` lists what came: (path, query or form, headers)."""

    def __init__(
        self, port: int = 0, *, tokens: bool = False, token_seconds: float = 300, auth_methods: Any = None
    ) -> None:
        self.runtime: list[dict[str, Any]] = json.loads((DATA / "runtime.json").read_text())["runtimeMetadata"]
        self.models: list[dict[str, Any]] = json.loads((DATA / "models.json").read_text())["models"]
        self.tokens = tokens
        self.token_seconds = token_seconds
        self.auth_methods = auth_methods or ["client_secret_basic", "client_secret_post"]
        self.mode = "ok"
        self.delay = 2.0
        self.calls: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self._issued: dict[str, float] = {}
        self._lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet an answer

            def do_GET(self) -> None:
                stub.answer(self, b"")

            def do_POST(self) -> None:
                stub.answer(self, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

            def log_message(self, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.host = self.url + API
        self.provider = self.url + REALM

    def __enter__(self) -> DeployStub:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def lookups(self) -> list[tuple[str, dict[str, str], dict[str, str]]]:
        """The calls of the metadata service, without those for tokens."""
        return [call for call in self.calls if call[0].startswith(API)]

    def add(self, name: str, model: str, namespace: str = "gold", **more: Any) -> None:
        """Run a model, one of tests/data/metadata/models.json by name, in another deployment."""
        first = self.runtime[0]
        uri = f"gs://models/{model}"
        self.runtime.append(
            {**first, "deploymentName": name, "deploymentNamespace": namespace, "modelUri": uri, **more}
        )

    def revoke(self) -> None:
        """Make every token worthless before it expires."""
        self._issued.clear()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        url = urlsplit(handler.path)
        fields = {name: values[0] for name, values in parse_qs(url.query + body.decode()).items()}
        with self._lock:
            self.calls.append((url.path, fields, dict(handler.headers.items())))
        mode = self.mode
        if mode == "drop":
            handler.close_connection = True
            return
        if mode == "slow":
            time.sleep(self.delay)
        if mode == "error":
            _reply(handler, 500, b'{"message": "internal"}')
        elif mode == "garbage":
            _reply(handler, 200, b"<html>busy</html>")
        elif mode == "page":
            _reply(handler, 302, b"", Location=self.url + "/login")
        else:
            status, content = self._content(url.path, fields, handler.headers)
            _reply(handler, status, json.dumps(content).encode())

    def _content(self, path: str, fields: dict[str, str], headers: Any) -> tuple[int, Any]:
        if path == f"{REALM}/.well-known/openid-configuration":
            return 200, {
                "issuer": self.provider,
                "token_endpoint": f"{self.provider}/protocol/openid-connect/token",
                "token_endpoint_auth_methods_supported": self.auth_methods,
            }
        if path == f"{REALM}/protocol/openid-connect/token":
            return self._token(fields, headers)
        if self.tokens and path.startswith(API):
            token = (headers.get("Authorization") or "").removeprefix("Bearer ")
            if self._issued.get(token, 0) < time.monotonic():
                return 401, {"code": 16, "message": "token expired"}
        if path == f"{API}/model/metadata/runtime":
            keys = {
                "DeploymentName": "deploymentName",
                "DeploymentNamespace": "deploymentNamespace",
                "DeploymentType": "deploymentType",
                "DeploymentStatus": "deploymentStatus",
                "PredictorName": "predictorName",
            }
            found = [
                entry
                for entry in self.runtime
                if all(entry[key] == fields[name] for name, key in keys.items() if name in fields)
            ]
            return 200, {"runtimeMetadata": found, "nextPageToken": ""}
        if path == f"{API}/model/metadata":
            found = [entry for entry in self.models if entry["URI"] == fields.get("URI", entry["URI"])]
            return 200, {"models": found, "nextPageToken": ""}
        return 404, {"code": 5, "message": "Not Found"}

    def _token(self, form: dict[str, str], headers: Any) -> tuple[int, Any]:
        basic = (headers.get("Authorization") or "").removeprefix("Basic ")
        client, _, secret = base64.b64decode(basic).decode().partition(":")
        if "client_secret_basic" not in self.auth_methods and basic:
            return 401, {"error": "invalid_client"}
        client, secret = client or form.get("client_id", ""), secret or form.get("client_secret", "")
        if client != CLIENT:
            return 401, {"error": "invalid_client"}
        if form["grant_type"] == "password":
            granted = (form.get("username"), form.get("password")) == (USER, PASSWORD)
        else:
            granted = form["grant_type"] == "client_credentials" and secret == SECRET
        if not granted:
            return 400, {"error": "invalid_grant"}
        with self._lock:
            token = f"token-{len(self._issued)}-{time.monotonic_ns()}"
            self._issued[token] = time.monotonic() + self.token_seconds
        answer = {"access_token": token, "token_type": "Bearer", "expires_in": self.token_seconds}
        if "openid" in form.get("scope", ""):
            # The identity token is the one that counts, where there is one.
            answer |= {"id_token": token, "access_token": "not-this-one"}
        return 200, answer


def _reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)
