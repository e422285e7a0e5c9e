"""Installing something in an engine once: what is there stays, a dry run prints the whole request instead."""
# ruff: noqa: T201  # printing is what a command is for

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from request_logger.commands.engine_access import ask
from request_logger.errors import CommandError
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices.templates import is_current
from request_logger.store.responses import Refusal, read_templates


class Installer:
    """Puts things into one engine and says a line for each. All methods raise CommandError for what it refuses."""

    def __init__(self, engine: SearchEngine, *, dry_run: bool) -> None:
        self._engine = engine
        self._dry_run = dry_run

    @property
    def where(self) -> str:
        """The engine's URL."""
        return self._engine.urls[0]

    def template(self, name: str, template: dict[str, Any]) -> None:
        """Install an index template where it is missing or older."""
        path = f"/_index_template/{name}"
        present = self.get(path)
        current = present is not None and is_current(self._templates(present), template)
        state = "missing" if present is None else "newer version"
        self.put(f"index template {name}", path, None if current else template, state=state)

    def has(self, path: str, key: str) -> bool:
        """Say whether the engine has something: whether its answer has a key. One without it takes it for an error."""
        status, answer = self._engine.request("GET", path)
        if status in (401, 403):
            raise self._refused("GET", path, status, answer)
        return status == 200 and isinstance(answer, dict) and key in answer

    def get(self, path: str) -> dict[str, Any] | None:
        """Give what is there, None where nothing is."""
        return ask(self._engine, "GET", path, missing={}) or None

    def put(
        self, what: str, path: str, body: Any, params: dict[str, str] | None = None, state: str = "missing or different"
    ) -> None:
        """Send it, unless ``body`` is None: it is there."""
        if body is None:
            print(f"{what}: is there")
            return
        if self._dry_run:
            query = f"?{urlencode(params)}" if params else ""
            print(f"{what}: {state}, would send\nPUT {path}{query}\n{json.dumps(body, indent=2)}")
            return
        status, answer = self._engine.request("PUT", path, body, params=params)
        # 201 where it is new: ISM says so.
        if status not in (200, 201):
            raise self._refused("PUT", path, status, answer)
        print(f"{what}: {state}, installed")

    def _templates(self, answer: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            found = read_templates(200, answer)
        except StoreUnavailableError as error:
            raise CommandError(f"{self.where}: {error}") from None
        return [] if isinstance(found, Refusal) else found

    def _refused(self, method: str, path: str, status: int, answer: object) -> CommandError:
        reason = str(answer)
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            reason = str(answer["error"].get("reason"))
        return CommandError(f"{self.where} answered {status} to {method} {path}: {reason[:400]}")
