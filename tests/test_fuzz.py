"""Garbage in headers and bodies: no 5xx, no traceback, the process lives, memory stays flat.

FUZZ_REQUESTS sets how many are sent; `make fuzz` sends 50,000.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers import Sender, Server

pytestmark = pytest.mark.engine

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "2000"))
AT_ONCE = 8
PER_EXAMPLE = 40

TYPES = [
    f"{prefix}{kind}"
    for prefix in ("io.seldon.serving.", "org.kubeflow.serving.")
    for kind in (
        "inference.request",
        "inference.response",
        "reference.request",
        "feedback",
        "inference.outlier",
        "inference.drift",
        "inference.other",
    )
]
WORDS = """
data ndarray tensor shape values names strData jsonData binData tftensor instances predictions inputs outputs name
datatype parameters content_type truth reward response request is_outlier meta metrics dataType instance status tags
dtype is_drift distance p_val binary_data_size
""".split()
MEDIA_TYPES = """
application/json application/cloudevents+json application/cloudevents-batch+json application/protobuf text/plain
application/x-www-form-urlencoded application/octet-stream
""".split()
HEADER_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60).map(
    str.strip
)
SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["NaN", "1", "b64"])
)
KEYS = st.sampled_from(WORDS) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
SHAPED = st.fixed_dictionaries({"data": st.fixed_dictionaries({"ndarray": st.lists(VALUES, max_size=3)})})
BODIES = st.one_of(
    st.binary(max_size=200),
    VALUES.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    st.dictionaries(KEYS, VALUES, min_size=1, max_size=4).map(lambda value: json.dumps(value).encode()),
    SHAPED.map(lambda value: json.dumps(value).encode()),
)
CONTENT_TYPES = st.sampled_from(MEDIA_TYPES) | HEADER_TEXT
HEADERS = st.fixed_dictionaries(
    {
        "Ce-Type": st.sampled_from(TYPES) | HEADER_TEXT,
        "Ce-Requestid": st.sampled_from(["r1", "r1-item-0"]) | HEADER_TEXT,
    },
    optional={
        "Ce-Id": HEADER_TEXT,
        "Ce-Time": st.sampled_from(["2026-01-02T03:04:05Z", "2026-99-99T99:99:99Z", "0000-00-00T00:00:00Z"])
        | HEADER_TEXT,
        "Ce-Source": HEADER_TEXT,
        "Ce-Namespace": HEADER_TEXT,
        "Ce-Modelid": HEADER_TEXT,
        "Ce-Inferenceservicename": HEADER_TEXT,
        "Ce-Endpoint": HEADER_TEXT,
        "Content-Type": CONTENT_TYPES,
        "Content-Encoding": st.sampled_from(["gzip", "br"]),
    },
)


def children(server: Server) -> list[str]:
    """Process ids of the server's workers."""
    return Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()


def all_workers(server: Server) -> set[str]:
    """Wait until both workers are there: the server is ready with the first of them."""
    deadline = time.monotonic() + 30
    while len(children(server)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return set(children(server))


def worker_memory(server: Server) -> int:
    """Resident bytes of the server's workers together."""
    pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in children(server))
    return sum(pages) * os.sysconf("SC_PAGE_SIZE")


def test_garbage(make_server: Callable[..., Server]) -> None:
    """Any headers and any body are answered below 500, and what is taken leaves no trace in memory."""
    # One index: random names would make thousands of them.
    server = make_server(INDEX_NAME="inference-log-fuzz", GUNICORN_THREADS="8", CACHE_MAX_BYTES="1000000")
    workers = all_workers(server)
    memory: list[int] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        senders = [Sender(server.url) for _ in range(AT_ONCE)]

        def run(lane: int, messages: list[tuple[dict[str, str], bytes]]) -> list[tuple[int, bytes]]:
            return [senders[lane].send(headers, body) for headers, body in messages[lane::AT_ONCE]]

        @given(st.lists(st.tuples(HEADERS, BODIES), min_size=PER_EXAMPLE, max_size=PER_EXAMPLE))
        @settings(
            max_examples=max(REQUESTS // PER_EXAMPLE, 1),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        def send(messages: list[tuple[dict[str, str], bytes]]) -> None:
            lanes = list(pool.map(lambda lane: run(lane, messages), range(AT_ONCE)))
            answers = [answer for lane in lanes for answer in lane]
            assert [answer for answer in answers if answer[0] >= 500] == []
            memory.append(worker_memory(server))

        send()
        for sender in senders:
            sender.close()
    assert "Traceback" not in server.log.read_text()
    assert set(children(server)) == workers
    early = max(memory[: len(memory) // 3])
    assert memory[-1] < early * 1.3 + 20 * 2**20, f"{early} bytes grew to {memory[-1]}"
    server.stop()
