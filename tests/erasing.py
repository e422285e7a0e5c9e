"""Spools with events, for tests of erasure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from request_logger.documents.event import Body, Event, from_headers
from request_logger.settings import Settings
from request_logger.spool import Spool
from request_logger.spool.observer import NullObserver
from tests.helpers import event


def spooled(folder: Path, ids: Sequence[str], deployment: str = "iris") -> None:
    """Add the request of each id to the spool of a folder."""
    spool = Spool(str(folder), 2**26, NullObserver())
    spool.append_all([_request(id, deployment) for id in ids])
    spool.close()


def _request(id: str, deployment: str) -> Event:
    headers = {name.lower(): value for name, value in event("request", id, deployment).items()}
    body = b'{"data": {"ndarray": [["%b", 1]]}}' % id.encode()
    return from_headers(headers, Body(body, "application/json", len(body)), Settings())


def text_in(folder: Path) -> str:
    """Return all bytes of a folder's files."""
    return "".join(path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file())
