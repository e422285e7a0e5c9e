"""What an event's names say of where it is stored: its index, its node, and the top-level fields of its document."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from request_logger.common.names import legal_index, strip_header

PREFIXES = (("io.seldon.serving.", "seldon"), ("org.kubeflow.serving.", "inferenceservice"))
"""The beginning of the types of events, and the serving engine that sends them."""
NAMES = ("inferenceservicename", "modelid", "namespace", "endpoint", "source")
"""The attributes that are names, in the order of `origin_of`."""
# Characters of all names together; with 1,024 cache entries this is about 1 MB.
_MAX_NAMES_KEPT = 1000
# A node's name is a field name under `nodes`, and a field name of more than 50,000 characters makes the search engine
# refuse the whole _bulk. Headers are shorter than this; only a structured mode event can have a longer one.
_MAX_NODE_CHARACTERS = 8192


Origin = tuple[str, str, str | None, dict[str, Any]]


def origin_of(engine: str, kind: str, names: tuple[str | None, ...], index_name: str, environment: str) -> Origin:
    """Return index, node, source and the top-level fields of a document (not to be modified), without RequestId."""
    # Cached, since all events of a deployment have the same origin; unless the names are too long to be kept in memory.
    is_cached = sum(map(len, filter(None, names))) <= _MAX_NAMES_KEPT
    return (_origin if is_cached else _origin.__wrapped__)(engine, kind, names, index_name, environment)


@lru_cache(maxsize=1024)
def _origin(engine: str, kind: str, names: tuple[str | None, ...], index_name: str, environment: str) -> Origin:
    clean = {attribute: strip_header(name) for attribute, name in zip(NAMES, names, strict=True) if name}
    if len(clean.get("modelid", "")) > _MAX_NODE_CHARACTERS:
        digest = hashlib.sha256(clean["modelid"].encode("utf-8", "surrogatepass")).hexdigest()[:16]
        clean["modelid"] = f"{clean['modelid'][:_MAX_NODE_CHARACTERS]}~{digest}"
    name = clean.get("inferenceservicename") or clean.get("modelid")
    header: dict[str, Any] = {"ServingEngine": engine, "Ce-Inferenceservicename": name}
    for field, attribute in (("Ce-Endpoint", "endpoint"), ("Ce-Namespace", "namespace"), ("Ce-Modelid", "modelid")):
        if clean.get(attribute):
            header[field] = clean[attribute]
    index = index_name or _index(kind, engine, name, clean, environment)
    return index, clean.get("modelid", ""), clean.get("source"), header


def _index(kind: str, engine: str, name: str | None, clean: Mapping[str, str], environment: str) -> str:
    environment = f"{environment}-" if environment else ""
    start = f"{kind}-log-{environment}{engine}-{clean.get('namespace') or 'unknown-namespace'}"
    if kind == "drift":
        return legal_index(f"{start}-{_detector(clean.get('source'), name)}")
    start = f"{start}-{name or 'unknown-inferenceservice'}"
    if kind == "reference":
        return legal_index(start)
    return legal_index(f"{start}-{clean.get('endpoint') or 'unknown-endpoint'}")


def _detector(source: str | None, name: str | None) -> str:
    """Return a drift detector's name as the original does: its source without the type prefix, else the deployment."""
    if source is None:
        return "unknown-detector"
    for prefix, _ in PREFIXES:
        if source.startswith(prefix):
            name = source.removeprefix(prefix)
            break
    return name or "unknown-inferenceservice"
