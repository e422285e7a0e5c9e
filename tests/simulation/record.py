"""Record what a real engine answers: ``python -m tests.simulation.record --kind elasticsearch9 --url http://...:9209``.

It plays the scripts of `tests.simulation.scripts` and writes the normalised answers of that kind into
``conversations``, next to those of other kinds. It removes everything that it created in the engine.
"""

from __future__ import annotations

import argparse
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import requests

from tests.simulation.conversation import FOLDER, KINDS, Conversation, Step, parsed, play
from tests.simulation.script import Script
from tests.simulation.scripts import SCRIPTS

_PREFIX = "sim-"


class RealEngine:
    """Sends requests to a real engine, with names that begin with ``sim-`` made unique."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._own = f"{_PREFIX}{uuid.uuid4().hex[:8]}-"
        self._session = requests.Session()
        # Other runs may depend on the settings of the cluster at the same time.
        self._changed_cluster = False

    def send(self, method: str, path: str, body: bytes | None, params: Mapping[str, str]) -> tuple[int, Any]:
        """Return the status and the parsed answer, or its text if it is not JSON."""
        own = self._own.encode()
        self._changed_cluster = self._changed_cluster or path == "/_cluster/settings"
        content_type = "application/x-ndjson" if path.endswith("_bulk") else "application/json"
        answer = self._session.request(
            method,
            self._url + path.replace(_PREFIX, self._own),
            data=None if body is None else body.replace(_PREFIX.encode(), own),
            params=dict(params),
            headers={"Content-Type": content_type},
            timeout=60,
        )
        text = answer.content.replace(own, _PREFIX.encode()).decode()
        try:
            return answer.status_code, parsed(text)
        except ValueError:
            return answer.status_code, text

    def clean(self) -> None:
        """Remove everything with this run's prefix, and reset the cluster settings that scripts change."""
        for block in ("metadata", "read_only"):
            # One by one: OpenSearch refuses to change two settings of a blocked index at once.
            self._plain("PUT", f"/{self._own}*/_settings", {f"index.blocks.{block}": None}, expand_wildcards="all")
        status, listed = self._plain("GET", f"/{self._own}*/_settings", expand_wildcards="all")
        # Data streams first: their backing indices cannot be deleted on their own.
        for kind in ("_data_stream", "_index_template", "_ingest/pipeline"):
            self._plain("DELETE", f"/{kind}/{self._own}*")
        for name in listed if status == 200 else ():
            self._plain("DELETE", f"/{name}")
        if self._changed_cluster:
            settings = {"action.auto_create_index": None}
            self._plain("PUT", "/_cluster/settings", {"persistent": settings})

    def _plain(self, method: str, path: str, body: Any = None, **params: str) -> tuple[int, Any]:
        answer = self._session.request(method, self._url + path, json=body, params=params, timeout=60)
        return answer.status_code, answer.json()


@contextmanager
def real_engine(url: str) -> Iterator[RealEngine]:
    """Provide a real engine and clean it afterwards."""
    engine = RealEngine(url)
    try:
        yield engine
    finally:
        engine.clean()


def answers_of(script: Script, url: str) -> list[dict[str, Any]]:
    """Play a script to the engine of a URL; return its normalised answers."""
    with real_engine(url) as engine:
        return list(play(script.steps, engine.send))


def main() -> None:
    """Record the scripts for one kind of engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True, help="what the engine is")
    parser.add_argument("--url", default="http://127.0.0.1:9200", help="where it is (default: %(default)s)")
    parser.add_argument("names", nargs="*", help="scripts to record; by default all")
    arguments = parser.parse_args()
    for script in SCRIPTS:
        if arguments.names and script.name not in arguments.names:
            continue
        if arguments.kind in script.kinds:
            keep(script, arguments.kind, answers_of(script, arguments.url))
            print(f"{script.name}: {len(script.steps)} steps", flush=True)


def keep(script: Script, kind: str, answers: list[dict[str, Any]]) -> None:
    """Write the answers of one kind into the script's file; answers of other kinds to the same steps are kept."""
    path = FOLDER / f"{script.name}.json"
    before = Conversation.read(path) if path.exists() else None
    kept = before.answers if before and _same_steps(before.steps, script.steps) else {}
    known = {name: given for name, given in kept.items() if name in script.kinds}
    # Atomic, as recorders of other kinds may read the file at the same time.
    new = path.with_suffix(f".{kind}")
    new.write_text(Conversation(script.name, script.steps, {**known, kind: answers}).as_text(), encoding="ascii")
    new.replace(path)


def _same_steps(one: tuple[Step, ...], other: tuple[Step, ...]) -> bool:
    # Compared as JSON, in which tuples are lists.
    return json.dumps([step.as_json() for step in one]) == json.dumps([step.as_json() for step in other])


if __name__ == "__main__":
    main()
