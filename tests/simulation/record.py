"""Record what a real engine answers: ``python -m tests.simulation.record --kind elasticsearch9 --url http://...:9209``.

It plays the scripts of `tests.simulation.scripts` and writes the normalised answers of that kind into
``conversations``; those of other kinds stay. What it makes in the engine it removes.
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
    """Sends requests to a real engine; names that begin with ``sim-`` are unique there."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._own = f"{_PREFIX}{uuid.uuid4().hex[:8]}-"
        self._session = requests.Session()

    def send(self, method: str, path: str, body: bytes | None, params: Mapping[str, str]) -> tuple[int, Any]:
        """Send a request; return the status and the parsed answer, text where it isn't JSON."""
        own = self._own.encode()
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
        """Remove all that was made under this engine's prefix, and the cluster's settings of scripts."""
        blocks = dict.fromkeys(("index.blocks.metadata", "index.blocks.read_only"))
        self._plain("PUT", f"/{self._own}*/_settings", blocks, expand_wildcards="all")
        status, listed = self._plain("GET", f"/{self._own}*/_settings", expand_wildcards="all")
        # An old engine refuses to be asked for a data stream by its backing index.
        for kind in ("_data_stream", "_index_template", "_ingest/pipeline"):
            self._plain("DELETE", f"/{kind}/{self._own}*")
        for name in listed if status == 200 else ():
            self._plain("DELETE", f"/{name}")
        settings = {"action.auto_create_index": None}
        self._plain("PUT", "/_cluster/settings", {"persistent": settings})

    def _plain(self, method: str, path: str, body: Any = None, **params: str) -> tuple[int, Any]:
        answer = self._session.request(method, self._url + path, json=body, params=params, timeout=60)
        return answer.status_code, answer.json()


@contextmanager
def real_engine(url: str) -> Iterator[RealEngine]:
    """Give an engine that is cleaned at the end."""
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
    """Record one kind."""
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
    """Write the answers of a kind into the script's file, with those of other kinds to the same steps."""
    path = FOLDER / f"{script.name}.json"
    before = Conversation.read(path) if path.exists() else None
    kept = before.answers if before and _same_steps(before.steps, script.steps) else {}
    known = {name: given for name, given in kept.items() if name in script.kinds}
    # Recorders of other kinds may read it meanwhile.
    new = path.with_suffix(f".{kind}")
    new.write_text(Conversation(script.name, script.steps, {**known, kind: answers}).as_text(), encoding="ascii")
    new.replace(path)


def _same_steps(one: tuple[Step, ...], other: tuple[Step, ...]) -> bool:
    # Through JSON, where a tuple of the script is a list.
    return json.dumps([step.as_json() for step in one]) == json.dumps([step.as_json() for step in other])


if __name__ == "__main__":
    main()
