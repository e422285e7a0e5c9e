"""A report by two fields, with the classes of each part, as scikit-learn counts them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from request_logger.analytics.fields import find_field
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.report import Options, make_report
from request_logger.analytics.scope import Scope
from request_logger.analytics.splits import MOST_SEGMENTS, split_by
from request_logger.commands.report_text import SHORT, lines
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from tests.analytics.stored import document, engine_at, store

pytestmark = pytest.mark.engine

INDEX = "inference-log-seldon-test-crossed-default"
RNG = np.random.default_rng(5)
N = 300
CLASSES = ("ant", "bee", "cat")
TRUTHS, SAID = RNG.integers(0, 3, N), RNG.integers(0, 3, N)
AREAS = RNG.choice(["north", "south"], N)
SIZES = RNG.integers(0, 1000, N)
CITIES = RNG.integers(0, 30, N)


@pytest.fixture(scope="module")
def client(engine: Any) -> Iterator[SearchEngine]:
    """The engine, with the documents stored."""
    found, scorer = engine_at(engine.url), build("multiclass", {})
    documents = [
        document(
            scorer,
            CLASSES[TRUTHS[k]],
            CLASSES[SAID[k]],
            deployment="crossed",
            elements={"area": str(AREAS[k]), "size": float(SIZES[k]), "city": f"city {CITIES[k]}"},
        )
        for k in range(N)
    ]
    store(found, INDEX, documents)
    yield found
    found.request("DELETE", f"/{INDEX}")


def bounds(span: str) -> tuple[float, float]:
    """The numbers that a range is between."""
    numbers = [float(text) for text in re.findall(r"[\d.]+", span)]
    if span.startswith("under"):
        return -math.inf, numbers[0]
    return numbers[0], numbers[1] if len(numbers) > 1 else math.inf


def test_pairs_of_values(client: SearchEngine) -> None:
    """Each part is a value and a range, with its own metrics and classes."""
    report = make_report(client, Settings(), Options("test/crossed", by="area", across="size"))
    (task,) = report["tasks"]
    found = task["by"]
    assert (found["name"], found["across"], len(found["parts"])) == ("area x size", "request.elements.size", 8)
    assert sum(part["n"] for part in found["parts"]) == N
    assert (found["values_left_out"], found["documents_left_out"]) == (0, 0)
    for part in found["parts"]:
        area, _, span = part["value"].partition(" x ")
        low, high = bounds(span)
        chosen = (area == AREAS) & (low <= SIZES) & (high > SIZES)
        assert part["n"] == chosen.sum()
        accuracy = metrics.accuracy_score(TRUTHS[chosen], SAID[chosen])
        assert part["metrics"][0]["value"] == pytest.approx(accuracy, abs=1e-9)
        scores = metrics.precision_recall_fscore_support(
            TRUTHS[chosen], SAID[chosen], labels=range(3), zero_division=np.nan
        )
        for label, *expected in zip(CLASSES, *scores, strict=True):
            row = part["per_class"][label]
            got = [row.get(name, math.nan) for name in ("precision", "recall", "f1", "support")]
            assert got == pytest.approx(expected, abs=1e-9, nan_ok=True)
            assert {"precision", "recall"} <= set(row["intervals"])
    assert any("area x size" in line for line in lines(report, SHORT))


def test_only_the_largest_parts(client: SearchEngine) -> None:
    """Of 30 cities and 2 areas, 20 cities are crossed; what is in no part is counted."""
    runner, scope = QueryRunner(client), Scope(INDEX)
    fields = [find_field(runner, scope, name) for name in ("city", "area")]
    found = split_by(runner, scope, [], fields[0], {"match_all": {}}, across=fields[1])
    assert len(found.segments) <= MOST_SEGMENTS
    counts = [segment.count for segment in found.segments]
    assert counts == sorted(counts, reverse=True)
    # Each document has one city and one area.
    assert sum(counts) + found.documents_left_out == N
    assert found.values_left_out == len(np.unique(CITIES)) - 20
