"""Installs templates and policies in a search engine; a dry run prints the requests instead."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from request_logger.commands.engine_access import ask
from request_logger.errors import CommandError
from request_logger.store.changes import StoreUnavailableError
from request_logger.store.client.client import SearchEngine
from request_logger.store.errors import reason_of
from request_logger.store.indices.capabilities import leaner
from request_logger.store.indices.templates import is_current
from request_logger.store.responses import Refusal, read_templates


class Installer:
    """Installs objects in one search engine and prints a line for each. Raises CommandError for rejected requests."""

    def __init__(self, engine: SearchEngine, *, dry_run: bool) -> None:
        self._engine = engine
        self._dry_run = dry_run

    @property
    def where(self) -> str:
        """The URL of the search engine."""
        return self._engine.urls[0]

    def template(self, name: str, template: dict[str, Any]) -> None:
        """Install an index template if it is missing, older, or of other settings.

        Its numbers have no points if the search engine can search them without; a dry run doesn't ask for that.
        """
        path = f"/_index_template/{name}"
        present = self.get(path)
        current = present is not None and is_current(self._templates(present), template)
        state = "missing" if present is None else "newer version"
        if not current and not self._dry_run:
            template = leaner(template, self._engine.request, uuid4().hex)
        self.put(f"index template {name}", path, None if current else template, state=state)

    def has(self, path: str, key: str) -> bool:
        """Return whether the response to a GET has a key: an unsupported path is answered with an error."""
        status, answer = self._engine.request("GET", path)
        if status in (401, 403):
            raise self._refused("GET", path, status, answer)
        return status == 200 and isinstance(answer, dict) and key in answer

    def get(self, path: str) -> dict[str, Any] | None:
        """Return the installed object, None if there is none."""
        return ask(self._engine, "GET", path, missing={}) or None

    def put(
        self, what: str, path: str, body: Any, params: dict[str, str] | None = None, state: str = "missing or different"
    ) -> None:
        """Install an object, unless ``body`` is None, which means that it is installed already."""
        if body is None:
            print(f"{what}: already installed")
            return
        if self._dry_run:
            query = f"?{urlencode(params)}" if params else ""
            print(f"{what}: {state}, would send\nPUT {path}{query}\n{json.dumps(body, indent=2)}")
            return
        status, answer = self._engine.request("PUT", path, body, params=params)
        # ISM answers 201 for a new policy.
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
        return CommandError(f"{self.where} answered {status} to {method} {path}: {reason_of(answer)[:400]}")
