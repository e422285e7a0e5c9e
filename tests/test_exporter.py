"""The exposition alone: when the engine is asked, and what the text looks like."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from request_logger.metrics_server.exporter import Exporter
from request_logger.metrics_server.exposition import Families
from request_logger.settings import Settings
from request_logger.store.changes import StoreUnavailableError

EMPTY = {"responses": [{"aggregations": {"series": {"buckets": []}}}] * 6}


class Asked:
    """Counts the questions, and answers them as a cluster without documents does."""

    def __init__(self) -> None:
        self.times = 0
        self.bodies: list[bytes] = []
        self.answer: tuple[int, Any] = (200, EMPTY)

    def request(self, method: str, path: str, body: Any = None, *rest: Any, **more: Any) -> tuple[int, Any]:
        self.times += 1
        self.bodies.append(body)
        time.sleep(0.05)
        return self.answer


def test_the_engine_is_asked_once_in_a_while() -> None:
    """Many scrapes at once are one question, and so are all until the time is over."""
    engine, now = Asked(), [0.0]
    exporter = Exporter(engine, Settings(metrics_cache_seconds=5), clock=lambda: now[0])
    barrier = threading.Barrier(8)

    def scrape() -> bytes:
        barrier.wait()
        return exporter.exposition()

    with ThreadPoolExecutor(8) as threads:
        assert {future.result() for future in [threads.submit(scrape) for _ in range(8)]} == {b""}
    now[0] = 4.9
    exporter.exposition()
    assert engine.times == 1
    now[0] = 5.1
    exporter.exposition()
    assert engine.times == 2


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((429, {}), "answered 429"),
        ((200, {"responses": [{"error": {"type": "circuit_breaking_exception"}, "status": 429}] * 6}), "circuit"),
        ((200, {"responses": [{"_shards": {"failed": 1, "failures": ["lost"]}}] * 6}), "lost"),
        ((200, {"responses": [{"timed_out": True}] * 6}), "timed out"),
    ],
)
def test_half_an_answer_is_none(answer: tuple[int, Any], text: str) -> None:
    """Counters that fall for a moment look like a restart; so nothing is shown, and the reason is kept for a while."""
    engine, now = Asked(), [0.0]
    exporter = Exporter(engine, Settings(metrics_cache_seconds=5), clock=lambda: now[0])
    engine.answer = answer
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match=text):
            exporter.exposition()
    assert engine.times == 1
    engine.answer = (200, EMPTY)
    now[0] = 6.0
    assert exporter.exposition() == b""


@pytest.mark.parametrize(
    ("settings", "indices"),
    [
        ({}, b"inference-log-seldon-*,inference-log-inferenceservice-*"),
        ({"seldon_environment": "prod"}, b"inference-log-prod-*"),
        ({"seldon_environment": "Prod EU"}, b"inference-log-prod-eu-*"),
        ({"index_name": "all"}, b"inference-log-seldon-*,inference-log-inferenceservice-*,all"),
    ],
)
def test_which_indices_are_read(settings: dict[str, str], indices: bytes) -> None:
    """Those that this server writes; not those of another environment."""
    engine = Asked()
    Exporter(engine, Settings(**settings)).exposition()
    assert b'{"index":"%b"' % indices in engine.bodies[0]


def text_of(families: Families) -> str:
    text = families.text().decode()
    assert list(text_string_to_metric_families(text)) or not text
    return text


def test_names_and_labels_are_made_legal() -> None:
    """A name or label of any characters gives an answer that Prometheus can read, with the values as they are."""
    families = Families()
    families.count("bad name-é", {"a b": 'quote " back \\ line \n end', "1st": "x"}, 2)
    families.count("1st", {}, 1)
    text = text_of(families)
    (sample,) = [
        sample for family in text_string_to_metric_families(text) for sample in family.samples if sample.labels
    ]
    assert (sample.name, sample.value) == ("bad_name___total", 2)
    assert sample.labels == {"a_b": 'quote " back \\ line \n end', "_st": "x"}
    assert "\n_st_total 1.0\n" in text


def test_series_of_one_name_are_one_family() -> None:
    """Equal labels add up (the latest gauge stays); a metric of another kind with the same name is renamed."""
    families = Families()
    for value in (1, 2):
        families.count("hits_total", {"class": "A"}, value)
    families.count("hits", {"class": "B"}, 5)
    families.set("hits_total", {}, 7, [2, 1])
    families.set("hits_total", {}, 8, [1, 9])
    families.observe("hits_total", {}, [0] * 50, 1, 40_000)
    text = text_of(families)
    assert 'hits_total{class="A"} 3.0\nhits_total{class="B"} 5.0' in text
    assert "\nhits_total_gauge 7.0\n" in text
    assert "\nhits_total_histogram_sum 40.0\n" in text
    announced = [line for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(announced) == len(set(announced)) == 3
