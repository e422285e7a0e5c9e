"""The way of one event through the modules, recorded while a real engine stores it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import request_logger
from request_logger.server.app import close, create_app
from request_logger.settings import Settings
from request_logger.store.client import transport
from tests.helpers import event, ndarray

_ROOT = str(Path(request_logger.__file__).parent) + "/"
# What every module may use at any time: it says nothing of the way.
_EVERYWHERE = ("common.", "telemetry", "logs", "settings")


class Trace:
    """Calls between modules, and the modules on the stack where the event leaves a thread.

    ``trunk`` has the modules from the events route to the bulk request, in order: those on the stack of the route's
    thread when the event is queued, then those on the stack of the writer's thread when the request is sent.
    ``consulted`` has for each module those outside the trunk that it calls directly, in order of the first call.
    """

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str], None] = {}
        self._queueing: list[str] = []
        self._sending: list[str] = []

    def clear(self) -> None:
        """Forget what was recorded."""
        self.calls.clear()
        self._queueing, self._sending = [], []

    @property
    def trunk(self) -> list[str]:
        """The modules that the event passes."""
        return list(dict.fromkeys([*self._queueing, *self._sending]))

    @property
    def consulted(self) -> dict[str, list[str]]:
        """The modules outside the trunk that each module calls."""
        trunk = self.trunk
        found: dict[str, list[str]] = {name: [] for name in trunk}
        for caller, called in self.calls:
            if called not in trunk:
                found.setdefault(caller, []).append(called)
        return found

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        """Note a call; for sys.setprofile."""
        if event != "call":
            return
        code = frame.f_code
        is_request = code.co_name == "request" and code.co_filename == transport.__file__
        if is_request and not self._sending and "/_bulk" in frame.f_locals["url"]:
            self._sending = list(_stack(frame))
        name = _module(frame)
        if name is None:
            return
        stack = list(_stack(frame))
        if len(stack) > 1 and not name.startswith(_EVERYWHERE):
            self.calls.setdefault((stack[-2], name))
        if name == "store.writing.submission_queue" and code.co_name == "put" and not self._queueing:
            self._queueing = stack[:-1]


def _module(frame: FrameType) -> str | None:
    path = frame.f_code.co_filename
    if not path.startswith(_ROOT):
        return None
    return path.removeprefix(_ROOT).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _stack(frame: FrameType | None) -> Iterator[str]:
    """Yield the program's modules on the stack, the outermost first, each once where it calls itself."""
    names: list[str] = []
    while frame is not None:
        name = _module(frame)
        if name is not None and (not names or names[-1] != name):
            names.append(name)
        frame = frame.f_back
    yield from reversed(names)


@contextmanager
def _recorded(trace: Trace) -> Iterator[None]:
    threading.setprofile(trace.profile)
    try:
        yield
    finally:
        threading.setprofile(None)  # type: ignore[arg-type]


def way_of_an_event(settings: Settings, deployment: str) -> Trace:
    """Store a response, send its feedback through the events route, and return the trace of the feedback."""
    trace = Trace()
    with _recorded(trace):
        app = create_app(settings)
    try:
        route: Any = app.wsgi_app
        body = json.dumps({"truth": {"data": {"ndarray": [[1]]}}}).encode()
        assert route.post(_headers("response", deployment), ndarray([[1]])).status == 200
        trace.clear()
        sys.setprofile(trace.profile)
        try:
            answer = route.post(_headers("feedback", deployment), body)
        finally:
            sys.setprofile(None)
        assert answer.status == 200
    finally:
        close(app)
    return trace


def _headers(part: str, deployment: str) -> dict[str, str]:
    return {name.lower(): value for name, value in event(part, "r1", deployment).items()}
