"""Events of predictions with join keys, and a store in memory that has them."""

from __future__ import annotations

import json
from typing import Any

from request_logger.common.join_keys import KEYS_INDEX, parse_join_keys
from request_logger.documents.event import Body, Event, from_headers
from request_logger.documents.parts import parts_of
from request_logger.ingest.key_plan import KeyPlans
from request_logger.server.feedback_route import feedback_event
from request_logger.settings import Settings
from tests.helpers import event, index_of, ndarray
from tests.model import SETTLE, Store, finish, without_times

KEYS = "request.metadata.x-request-id, response.payload.meta.puid, request.elements.customer"
CONFIG = Settings(join_keys=KEYS)
PLANS = KeyPlans(parse_join_keys(KEYS))
INDEX = index_of("iris")
NAMES = ["no", "yes"]


def made(part: str, body: Any, request_id: str = "r1", time: str = "2026-01-01T00:00:00Z", **more: str) -> Event:
    headers = {name.lower(): value for name, value in event(part, request_id, "iris", **more).items()}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_headers({**headers, "ce-time": time}, Body(raw, "application/json", len(raw)), CONFIG)


def request(request_id: str = "r1", header: str = "", customers: tuple[Any, ...] = ("c1",)) -> Event:
    rows = [[1.5, customer] for customer in customers]
    more = {"Ce-Metadata": json.dumps({"X-Request-Id": [header]})} if header else {}
    return made("request", ndarray(rows, ["a", "customer"]), request_id, **more)


def response(request_id: str = "r1", puid: Any = "p1", rows: int = 1) -> Event:
    body = {"data": {"names": NAMES, "ndarray": [[0.2, 0.8]] * rows}, "meta": {"puid": puid}}
    return made("response", body, request_id, "2026-01-01T00:00:01Z")


def feedback(key: dict[str, Any] | str, truth: Any = "yes", day: int = 2) -> Event:
    """Feedback by a key, or by an id."""
    named_by = {"request_id": key} if isinstance(key, str) else {"key": key}
    who = {"deployment": "iris", "namespace": "test", "predictor": "default", "time": f"2026-01-{day:02}T00:00:00Z"}
    return feedback_event(json.dumps({**who, **named_by, "truth": truth}).encode(), CONFIG)


def store_all(*events: Event, plans: KeyPlans = PLANS, store: Store | None = None) -> Store:
    store = {} if store is None else store
    for each in events:
        finish(store, plans.record(each, parts_of(each), SETTLE))
    return store


def predictions(store: Store) -> dict[str, Any]:
    """The documents that aren't those of keys, by id."""
    return {id: source for (index, id), source in without_times(store).items() if index == INDEX}


def keys(store: Store) -> dict[str, Any]:
    return {id: source for (index, id), source in store.items() if index == KEYS_INDEX}
