"""The plots without an engine: figures against scikit-learn and numpy, colours, odd data, and SVG files."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, precision_recall_curve

from request_logger.analytics.page.plots import Plot, of_drift, of_report, of_task
from request_logger.analytics.page.plots.matrix import MOST_CLASSES, OTHERS
from request_logger.analytics.page.style import DARK, LIGHT, PAPER, STYLE
from request_logger.analytics.page.svg import HEIGHT, WIDTH, short, width_of
from request_logger.analytics.plot_data.scores import histogram, with_intervals
from request_logger.analytics.thresholds.cells import Costs
from request_logger.analytics.thresholds.report import figures
from request_logger.scoring.registry import build
from scorers.probabilities import CALIBRATION_BINS, score_bin
from tests.analytics.sums import answers_of

SCORER = build("binary", {"probabilities": True})
# What a sender could call a class, a field or a value.
HOSTILE = "<script>alert(1)</script>\"'&\x00\x1b\ud800" + "x" * 300
RNG = np.random.default_rng(5)


def pairs(rare: bool = False, n: int = 3000) -> tuple[Any, Any]:
    said = RNG.beta(0.5, 40, n) if rare else RNG.beta(1, 2, n)
    truths = (RNG.random(n) < said).astype(int)
    return truths, said


@pytest.mark.parametrize("rare", [False, True])
def test_histogram(rare: bool) -> None:
    """The counts of both classes are numpy's in the same ranges, of equal width or, for a rare event, of logits."""
    truths, said = pairs(rare)
    found = histogram(SCORER.metrics, answers_of(SCORER, truths, said))
    assert found is not None
    assert found["scale"] == ("logit" if rare else "probability")
    edges = [each["from"] for each in found["bins"]] + [found["bins"][-1]["to"]]
    assert (edges[0], edges[-1], len(edges)) == (0.0, 1.0, 26 if rare else CALIBRATION_BINS + 1)
    for name, truth in (("positive", 1), ("negative", 0)):
        expected, _ = np.histogram(said[truths == truth], bins=edges)
        assert [each[name] for each in found["bins"]] == expected.tolist()


def test_no_histogram_without_scores() -> None:
    assert histogram(build("regression", {}).metrics, {}) is None


def test_a_single_score_has_bins_of_equal_width() -> None:
    """In the middle, all scores in one bin are no sign of a rare event."""
    found = histogram(SCORER.metrics, answers_of(SCORER, np.array([1]), np.array([0.7])))
    assert found is not None
    assert found["scale"] == "probability"


def test_precision_and_recall() -> None:
    """Points are scikit-learn's of the binned scores, intervals Wilson's."""
    truths, said = pairs()
    found = with_intervals(figures(answers_of(SCORER, truths, said)))
    assert found is not None
    precision, recall, _ = precision_recall_curve(truths, [score_bin(p) for p in said])
    rows = [row for row in found["thresholds"] if "precision" in row]
    assert [row["precision"] for row in rows] == pytest.approx(precision[:-1].tolist(), abs=1e-9)
    assert [row["recall"] for row in rows] == pytest.approx(recall[:-1].tolist(), abs=1e-9)
    for row in rows:
        for name, misses in (("precision", "fp"), ("recall", "fn")):
            if min(row["tp"], row[misses]) >= 15:
                expected = binomtest(row["tp"], row["tp"] + row[misses]).proportion_ci(method="wilson")
                assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(
                    (expected.low, expected.high), abs=1e-9
                )
    assert with_intervals(None) is None


def test_value_by_threshold() -> None:
    """The value at each threshold is that of the pairs, and the best is the greatest."""
    truths, said = pairs()
    found = figures(answers_of(SCORER, truths, said), Costs(tp=2.0, fp=-1.0, fn=-5.0))
    assert found is not None
    values = []
    for row in found["thresholds"]:
        positive = said >= row["threshold"] if row["threshold"] is not None else np.zeros(len(said), bool)
        gain = np.where(positive, np.where(truths == 1, 2.0, -1.0), np.where(truths == 1, -5.0, 0.0))
        assert row["value"] == pytest.approx(gain.mean(), abs=1e-9)
        values.append(row["value"])
    assert found["best"]["value"] == max(values)


def linear(colour: str) -> Any:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = np.array([int(digits[k : k + 2], 16) for k in (0, 2, 4)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


# Machado, Oliveira and Fernandes (2009), severity 1.
SIGHTS = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def lab(rgb: Any) -> Any:
    """CIE L*a*b* of linear sRGB under D65."""
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    xyz = np.array(to_xyz) @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize(("colours", "paper"), [(LIGHT, PAPER[0]), (DARK, PAPER[1])])
def test_colours(colours: tuple[str, ...], paper: str) -> None:
    """Each is seen on the paper, and any two differ for all readers: 20 in CIE76, ten times what is just noticed."""
    assert all(contrast(colour, paper) >= 3 for colour in colours)
    for matrix in SIGHTS.values():
        seen = [lab(np.array(matrix) @ linear(colour)) for colour in colours]
        assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) > 20
    assert all(colour in STYLE for colour in colours)


def point(start: str, value: float, n: int = 5, **more: Any) -> dict[str, Any]:
    return {"start": start, "n": n, "value": value, **more}


def binary_task(truths: Any, said: Any, costs: Costs | None = None) -> dict[str, Any]:
    answers = answers_of(SCORER, truths, said)
    thresholds = with_intervals(figures(answers, costs))
    assert thresholds is not None
    # A report has no None.
    rows = [{key: value for key, value in row.items() if value is not None} for row in thresholds["thresholds"]]
    return {"score_histogram": histogram(SCORER.metrics, answers), "thresholds": {**thresholds, "thresholds": rows}}


def odd_tasks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Reports that real data rarely has."""
    labels = [f"class {k} {HOSTILE}" for k in range(50)]
    matrix = {truth: {said: (k + j) % 7 for j, said in enumerate(labels)} for k, truth in enumerate(labels)}
    yield "many classes", {"confusion_matrix": matrix}
    yield "one class", {"confusion_matrix": {HOSTILE: {HOSTILE: 1}}}
    yield "a class that was only predicted", {"confusion_matrix": {"a": {"b": 3}}}
    yield "one point", {"over_time": {"metric": "rmse", "window": "1d", "points": [point("2026-01-05T00:00:00Z", 1.0)]}}
    yield "no value", {"over_time": {"metric": "rmse", "window": "1d", "points": [{"start": "2026-01-05", "n": 1}]}}
    starts = [f"2026-01-{day:02}T{hour:02}:00:00Z" for day in range(1, 29) for hour in range(24)]
    long = [point(start, math.sin(k) * 1e150, low=-1e160, high=1e160) for k, start in enumerate(starts)]
    yield "many windows", {"over_time": {"metric": "mean_error", "window": "1h", "points": long}}
    classes = [{"class": f"{HOSTILE} {k}", "n": 9, "points": long[:k]} for k in range(6)]
    by_class = {"metric": "recall", "window": "1h", "classes": classes, "classes_left_out": 7}
    yield "curves of different lengths", {"over_time_by_class": by_class}
    yield "two curves", {"over_time_by_class": {**by_class, "classes": classes[1:3]}}
    parts = [
        {"value": f"{HOSTILE} {k}", "n": k, "metrics": [{"name": "rmse", "value": 10.0**k}], "over_time": {
            "metric": "rmse", "window": "1h", "points": long[:3]}}
        for k in range(40)
    ]  # fmt: skip
    yield "many values", {"shown": ["rmse"], "by": {"name": HOSTILE, "field": "f", "parts": parts}}
    yield "no values", {"shown": ["rmse"], "by": {"name": "f", "field": "f", "parts": []}}
    yield "rare scores", binary_task(*pairs(rare=True), Costs(fp=-1.0, fn=-20.0))
    yield "two scores", binary_task(np.array([0, 1]), np.array([0.0, 1.0]), Costs(fp=-1.0))
    yield "equal scores", binary_task(np.array([0, 1]), np.array([0.5, 0.5]))
    edges = [1e150 * k for k in range(25)]
    yield "one cell", {"predicted_actual": {"edges": edges, "cells": [{"truth": 0, "prediction": 23, "n": 1}]}}
    gap = {"value": -0.5, "low": -0.9, "high": 0.2, "p": 0.1, "p_adjusted": 0.2}
    groups = [{"value": HOSTILE, "n": 3, "rates": {"precision": {"value": 0.1, "n": 3, "difference": gap}}}]
    fairness = {"reference": "nobody", "groups": groups}
    yield "a reference without the rate", {"by": {"name": "f"}, "fairness": fairness}
    yield "no groups", {"by": {"name": "f"}, "fairness": {"reference": ""}}
    worse = {"n": 5, "mean": 1.0, "rest": 2.0, "worse": 1.0, "p_adjusted": 0.5}
    slices = [{"name": HOSTILE, "n": 10, "confirmed": False, "confirming": worse}, {"name": "b", "confirmed": False}]
    yield "a slice without an interval", {"slices": {"metric": "mse", "slices": slices}}
    yield "no slices", {"slices": {"metric": "mse", "reason": "it needs 120 documents"}}


NUMBERS = ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height", "r")


def check(plot: Plot) -> ET.Element:
    """The file of a picture is XML without anything active, and all of it is within the picture and its style."""
    assert plot.title in plot.picture.unescape()
    root = ET.fromstring(plot.file.encode())
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    assert width == WIDTH
    namespace = "{http://www.w3.org/2000/svg}"
    tags = {element.tag.removeprefix(namespace) for element in root.iter()}
    assert tags <= {"svg", "title", "desc", "style", "rect", "line", "text", "g", "a", "path", "circle"} | {
        "polyline", "polygon"
    }  # fmt: skip
    classes = {name for element in root.iter() for name in element.attrib.get("class", "").split()}
    assert {name for name in classes if f".{name}" not in STYLE} == set()
    for element in root.iter():
        values = [element.attrib[name] for name in NUMBERS if name in element.attrib and element is not root]
        values += re.split("[ ,]", element.attrib.get("points", "")) if element.attrib.get("points") else []
        for value in values:
            assert value == "100%" or -1 <= float(value) <= max(width, height) + 1, (plot.name, element.attrib)
    for text in root.iter(f"{namespace}text"):
        assert width_of(text.text or "") <= WIDTH
    assert all(len(row) == len(plot.header) and all(isinstance(cell, str) for cell in row) for row in plot.rows)
    return root


@pytest.mark.parametrize(("name", "task"), list(odd_tasks()), ids=lambda each: each if isinstance(each, str) else "")
def test_odd_data(name: str, task: dict[str, Any]) -> None:
    """Every picture is within its bounds, whatever the data; names are unique."""
    plots = list(of_task(task, "task0"))
    assert bool(plots) is (name not in ("no value", "no values", "no groups", "no slices"))
    for plot in plots:
        check(plot)
    assert len({plot.name for plot in plots}) == len(plots)


def test_no_figures_without_trust() -> None:
    """Where figures are refused, no plot shows them."""
    assert list(of_task({"reason": "not scored alike", "confusion_matrix": {"a": {"b": 1}}}, "task0")) == []


def test_confusion_matrix() -> None:
    """Counts and rates are scikit-learn's; each cell has an id, and with a link an address and a name."""
    truths, said = RNG.integers(0, 3, 500), RNG.integers(0, 3, 500)
    names = ("ant", "bee", "cat & dog")
    matrix = {names[t]: {names[p]: int(((truths == t) & (said == p)).sum()) for p in range(3)} for t in range(3)}
    (plot,) = of_task({"confusion_matrix": matrix}, "task0")
    counts, rates = (confusion_matrix(truths, said, normalize=how) for how in (None, "true"))
    assert plot.rows == [
        (names[t], names[p], f"{counts[t, p]:,}", f"{100 * rates[t, p]:.3g} %") for t in range(3) for p in range(3)
    ]
    root = check(plot)
    assert root.attrib["role"] == "img"
    ids = {element.attrib["id"] for element in root.iter() if "-cell-" in element.attrib.get("id", "")}
    assert ids == {f"task0-cell-{row}-{column}" for row in range(3) for column in range(3)}
    (linked,) = of_task({"confusion_matrix": matrix}, "task0", lambda truth, answer: f"?truth={truth}&answer={answer}")
    root = check(linked)
    assert root.attrib["role"] == "group"
    links = [element.attrib for element in root.iter("{http://www.w3.org/2000/svg}a")]
    assert [each["href"] for each in links] == [f"?truth={t}&answer={p}" for t in names for p in names]
    assert links[1]["aria-label"].startswith("truth ant, prediction bee: ")


def test_confusion_matrix_of_many_classes() -> None:
    """The rarest are together, and no document is lost."""
    counts = {f"c{k:02}": {f"c{k:02}": 100 - k, "c00": 1} for k in range(50)}
    counts["c00"] = {"c00": 200}
    (plot,) = of_task({"confusion_matrix": counts}, "task0", lambda truth, answer: "?")
    shown = {row[0] for row in plot.rows}
    assert len(shown) == MOST_CLASSES
    assert OTHERS in shown
    assert sum(int(row[2].replace(",", "")) for row in plot.rows) == sum(sum(row.values()) for row in counts.values())
    assert "31 rarer classes" in plot.caption
    assert all(OTHERS not in each for each in re.findall(r'<a [^>]*aria-label="([^"]*)"', plot.picture))


def test_drift() -> None:
    """Bars of all fields that could be judged, and the cells of those that drifted, the most changed of many."""
    cells = [{"values": f"{HOSTILE}{k}", "reference": 1 / 40, "current": k / 780} for k in range(40)]
    field = {"name": HOSTILE, "level": "major", "psi": 0.5, "threshold": 0.1, "noise_floor": 0.02, "cells": cells}
    calm = {**field, "name": "calm", "level": "none", "psi": 0.0}
    plots = list(of_drift({"fields": [field, calm, {"name": "few", "level": "unknown", "reason": "few"}]}))
    assert [plot.name for plot in plots] == ["drift-psi", "drift-field0"]
    assert [row[0] for row in plots[0].rows] == [HOSTILE, "calm"]
    assert len(plots[1].rows) == 40
    assert "The 12 of 40" in plots[1].caption
    for plot in plots:
        check(plot)
    assert list(of_drift({"fields": []})) == []


def test_feedback() -> None:
    """Coverage and delay, also of a single prediction, and of none."""
    counts = {"predictions": 0, "with_feedback": 0, "scored": 0, "by_truth": 0}
    (plot,) = of_report({"coverage": counts})
    check(plot)
    young = {"start": "2026-01-05T00:00:00Z", "n": 3, "with_feedback": 1, "share": 1 / 3, "mature": False}
    delay = {"n": 1, "mean": 0.0, "sample": 1, "quantiles": {"0.5": 0.0, "0.9": 0.0}, "within": {"day": 1.0}}
    report = {
        "coverage": counts,
        "coverage_over_time": {"window": "1d", "points": [young]},
        "delay": {**delay, "points": [{"seconds": 0.0, "share": 1.0}]},
    }
    plots = list(of_report(report))
    assert [plot.name for plot in plots] == ["coverage", "coverage-time", "delay"]
    assert "33.3 %" in plots[1].caption
    assert "young windows" in plots[1].caption
    for plot in plots:
        check(plot)


def test_values_on_hover() -> None:
    """A dot says its window, value and interval."""
    points = [point("2026-01-05T00:00:00Z", 0.5, low=0.25, high=0.75), point("2026-01-06T00:00:00Z", 0.75)]
    (plot,) = of_task({"over_time": {"metric": "accuracy", "window": "1d", "points": points}}, "task0")
    titles = [element.text for element in check(plot).iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [
        "Accuracy over time",
        "2026-01-05 00:00: 0.5 (0.25 to 0.75), n = 5",
        "2026-01-06 00:00: 0.75, n = 5",
    ]


def test_a_wide_interval_leaves_room_for_the_curve() -> None:
    """It ends at the edge, as the caption says."""
    points = [point("2026-01-05T00:00:00Z", 62.0, low=0.0, high=16_000.0), point("2026-01-06T00:00:00Z", 60.0)]
    (plot,) = of_task({"over_time": {"metric": "rmse", "window": "1d", "points": points}}, "task0")
    assert plot.caption.endswith("end at the edge; the figures have them.")
    (curve,) = check(plot).iter("{http://www.w3.org/2000/svg}polyline")
    first, second = (float(each.split(",")[1]) for each in curve.attrib["points"].split())
    assert second - first > 10
    (whole,) = of_task({"over_time": {"metric": "rmse", "window": "1d", "points": points[1:] * 2}}, "task0")
    assert "edge" not in whole.caption


def test_short() -> None:
    """Both ends of a long name are kept."""
    assert short("class number 17", 200) == "class number 17"
    cut = short("class number 17 of a long list", 80)
    assert cut.startswith("class")
    assert cut.endswith("list")
    assert width_of(cut) <= 80
    assert len(short("abcdef", 0)) == 3
    assert HEIGHT < WIDTH
