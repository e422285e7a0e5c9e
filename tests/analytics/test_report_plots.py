"""The data of a report's plots on a real engine, against scikit-learn and numpy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from request_logger.analytics.report import Options, make_report
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from tests.analytics.stored import engine_at, store
from tests.analytics.test_report import AREAS, CLASSES, HOURS, PRICES, ROWS, SAID, TRUTHS, N, stored

pytestmark = pytest.mark.engine

INDICES = {kind: f"inference-log-seldon-test-plots-{kind}-default" for kind in ("multiclass", "regression")}


@pytest.fixture(scope="module")
def client(engine: Any) -> Iterator[SearchEngine]:
    """A client of the engine, which has the documents of two tasks."""
    client = engine_at(engine.url)
    for kind, index in INDICES.items():
        store(client, index, stored(kind))
    yield client
    for index in INDICES.values():
        client.request("DELETE", f"/{index}")


def test_curves_over_time(client: SearchEngine) -> None:
    """Recall by class, the headline by value and the coverage are those of the rows of each window."""
    found = make_report(client, Settings(), Options(INDICES["multiclass"], by="area", window="1d"))
    (task,) = found["tasks"]
    said, days = ROWS.argmax(axis=1), (HOURS // 24).astype(int)
    by_class = {each["class"]: each["points"] for each in task["over_time_by_class"]["classes"]}
    assert list(by_class) == sorted(CLASSES, key=lambda name: (-(CLASSES.index(name) == TRUTHS).sum(), name))
    for label, points in by_class.items():
        number = CLASSES.index(label)
        assert [point["n"] for point in points] == [((days == day) & (number == TRUTHS)).sum() for day in range(10)]
        for day, point in enumerate(points):
            inside = days == day
            recall = metrics.recall_score(TRUTHS[inside], said[inside], labels=[number], average="macro")
            assert point["value"] == pytest.approx(recall, abs=1e-9)
            assert point["low"] <= recall <= point["high"]
    for part in task["by"]["parts"]:
        for day, point in enumerate(part["over_time"]["points"]):
            chosen = (days == day) & (part["value"] == AREAS)
            assert point["value"] == pytest.approx(metrics.accuracy_score(TRUTHS[chosen], said[chosen]), abs=1e-9)
    points = found["coverage_over_time"]["points"]
    counts = np.bincount(days, minlength=10)
    # All 200 predictions without feedback, one of which could not be scored, are of the first day.
    assert [point["n"] for point in points] == [int(n) + 200 * (day == 0) for day, n in enumerate(counts)]
    assert [point["with_feedback"] for point in points] == [int(n) + (day == 0) for day, n in enumerate(counts)]
    assert points[0]["share"] == pytest.approx((counts[0] + 1) / (counts[0] + 200), abs=1e-12)


def test_predicted_against_actual(client: SearchEngine) -> None:
    """The grid has the counts of numpy's histogram of both, with what is beyond in the outermost ranges."""
    (task,) = make_report(client, Settings(), Options(INDICES["regression"]))["tasks"]
    found = task["predicted_actual"]
    edges = np.array(found["edges"])
    inside = [np.clip(values, edges[0], np.nextafter(edges[-1], -np.inf)) for values in (PRICES, SAID)]
    expected, _, _ = np.histogram2d(*inside, bins=[edges, edges])
    got = np.zeros(expected.shape)
    for cell in found["cells"]:
        got[cell["truth"], cell["prediction"]] = cell["n"]
    assert (got == expected).all()
    assert got.sum() == N
