"""`request-logger slices` on a real engine: every figure is that of pandas on the same documents."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import find_scope
from request_logger.analytics.selection import having
from request_logger.analytics.slices.parts import Part, candidate_fields, parts_of
from request_logger.analytics.slices.report import Options, make_slices
from request_logger.analytics.slices.search import FINDING, Rank
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from tests.analytics.stored import document, engine_at, store

pytestmark = pytest.mark.engine

N = 3000
RNG = np.random.default_rng(7)
AREAS = RNG.choice(["north", 'so"uth\\', "west", "<east>"], N, p=[0.3, 0.3, 0.3, 0.1])
SIZES = np.round(RNG.uniform(0, 1000, N), 3)
ROOMS = RNG.integers(1, 5, N)
NEW = RNG.random(N) < 0.5
# Half of the documents lack it.
TENANTS = np.where(RNG.random(N) < 0.5, RNG.choice(["acme", "bolt"], N), "")
FOLD = RNG.integers(0, 20, N)
# The error is in the combination; the north alone is a bit worse for it.
WRONG_BY = np.where((AREAS == "north") & (ROOMS == 4), 0.5, 0.1)
CORRECT = RNG.random(N) > WRONG_BY
TRUTHS = RNG.integers(0, 2, N)
SAID = np.where(CORRECT, TRUTHS, 1 - TRUTHS)
INDEX = "inference-log-seldon-test-slices-default"
Run = Callable[..., tuple[int, str, str]]


def elements(k: int) -> dict[str, Any]:
    found = {
        "area": str(AREAS[k]), "size": float(SIZES[k]), "rooms": int(ROOMS[k]), "new": bool(NEW[k]), "id": f"id-{k}",
    }  # fmt: skip
    return found | ({"tenant": str(TENANTS[k])} if TENANTS[k] else {})


@pytest.fixture(scope="module")
def client(engine: Any) -> Iterator[SearchEngine]:
    found = engine_at(engine.url)
    binary, regression = build("binary", {}), build("regression", {})
    made = [
        document(binary, int(TRUTHS[k]), int(SAID[k]), deployment="slices", elements=elements(k))
        | {"fold": int(FOLD[k])}
        for k in range(N)
    ]
    made += [
        document(regression, 0.0, float(k % 7), deployment="numbers", elements={"area": str(AREAS[k])})
        | {"fold": int(FOLD[k])}
        for k in range(1000)
    ]
    made += [document(binary, 1, 1, deployment="few") | {"fold": k % 20} for k in range(50)]
    made += [document(binary, 1, k % 2, deployment="unfolded", elements={"area": "x"}) for k in range(200)]
    for start in range(0, len(made), 1000):
        store(found, INDEX, made[start : start + 1000], prefix=f"slices-{start}-")
    yield found
    found.request("DELETE", f"/{INDEX}")


def frame() -> pd.DataFrame:
    """The documents as columns named as their fields."""
    return pd.DataFrame({
        "request.elements.area": AREAS, "request.elements.size": SIZES, "request.elements.rooms": ROOMS.astype(float),
        "request.elements.new": np.where(NEW, "true", "false"),
        "request.elements.tenant": np.where(TENANTS, TENANTS, None),
        "request.elements.id": [f"id-{k}" for k in range(N)], "fold": FOLD, "correct": CORRECT.astype(float),
    })  # fmt: skip


def inside(table: pd.DataFrame, part: Part) -> Any:
    if not part.field.path.startswith("request."):
        # The deployment and the like, which all have in common.
        return pd.Series(not part.is_missing, index=table.index)
    column = table[part.field.path.removesuffix(".keyword")]
    if part.is_missing:
        return column.isna()
    if part.value is not None:
        return column == part.value
    return (column >= part.low) & (column < part.high)


def brute_force(client: SearchEngine) -> dict[str, dict[str, float]]:
    """Every slice of the first half with its figures, by its name."""
    runner, scope = QueryRunner(client), find_scope(client, Settings(), "test/slices")
    only = {"exists": {"field": "metrics.correct"}}
    fields, more = candidate_fields(runner, scope, only, 30)
    assert not more
    groups = parts_of(runner, scope, fields, having(only, FINDING))
    half = frame()[lambda table: table.fold < 10].reset_index(drop=True)
    slices: dict[tuple[Part, ...], Any] = {}
    for group in groups:
        slices |= {(part,): inside(half, part) for part in group if large(inside(half, part))}
    singles = list(slices)
    for (one,), (other,) in combinations(singles, 2):
        if one.field != other.field and not one.is_missing and not other.is_missing:
            both = slices[one,] & slices[other,]
            if large(both):
                slices[one, other] = both
    found = {}
    for parts, chosen in slices.items():
        part, rest = half.correct[chosen], half.correct[~chosen]
        table = [[part.sum(), len(part) - part.sum()], [rest.sum(), len(rest) - rest.sum()]]
        found[name_of(parts)] = {
            "n": len(part),
            "mean": part.mean(),
            "rest": rest.mean(),
            "worse": rest.mean() - part.mean(),
            "p": stats.chi2_contingency(table, correction=False).pvalue,
        }
    adjusted = stats.false_discovery_control([each["p"] for each in found.values()])
    for each, q in zip(found.values(), adjusted, strict=True):
        each["p_adjusted"] = q
    return found


def large(chosen: Any) -> bool:
    return bool(max(30, 0.01 * len(chosen)) <= chosen.sum() <= len(chosen) - 30)


def name_of(parts: tuple[Part, ...]) -> str:
    return ", ".join(f"{part.field.name.removeprefix('request.elements.')} = {part.label}" for part in parts)


def test_every_figure(client: SearchEngine) -> None:
    """The planted slice is the worst; where it was found, all figures and the correction are those of pandas, scipy."""
    (task,) = make_slices(client, Settings(), Options("test/slices"))["tasks"]
    expected = brute_force(client)
    assert task["looked_at"] == {
        "fields": 5,
        "slices": sum(", " not in name for name in expected),
        "pairs": sum(", " in name for name in expected),
    }
    first, *others = task["slices"]
    assert first["name"] in ("area = north, rooms = 4", "rooms = 4, area = north")
    assert first["confirmed"]
    # As by sliceline 0.3.0 on the same rows (Slicefinder with alpha .95, at most 2 columns, at least 30 rows).
    assert (first["finding"]["n"], first["finding"]["mean"]) == (125, pytest.approx(1 - 0.48, abs=1e-12))
    worse = {name for name, each in expected.items() if each["worse"] > 0 and each["p_adjusted"] <= 0.1}
    assert {"area = north", "rooms = 4"} <= {each["name"] for each in others}
    for each in task["slices"]:
        name = each["name"] if each["name"] in expected else ", ".join(reversed(each["name"].split(", ")))
        assert name in worse
        for key in ("n", "mean", "rest", "worse", "p_adjusted"):
            assert each["finding"][key] == pytest.approx(expected[name][key], rel=1e-9), (name, key)


def test_the_other_half(client: SearchEngine) -> None:
    """A slice is confirmed on folds 10 to 19 alone."""
    (task,) = make_slices(client, Settings(), Options("test/slices", fields=("area", "rooms")))["tasks"]
    half = frame()[lambda table: table.fold >= 10]
    first = task["slices"][0]
    chosen = (half["request.elements.area"] == "north") & (half["request.elements.rooms"] == 4)
    part, rest = half.correct[chosen], half.correct[~chosen]
    again = first["confirming"]
    assert (again["n"], again["mean"], again["rest"]) == pytest.approx((len(part), part.mean(), rest.mean()), rel=1e-9)
    assert again["low"] < again["worse"] < again["high"]
    both = frame()
    everywhere = (both["request.elements.area"] == "north") & (both["request.elements.rooms"] == 4)
    assert first["n"] == everywhere.sum()
    assert first["cost"] == pytest.approx(first["n"] * first["finding"]["shrunk"])
    assert {part["field"] for each in task["slices"] for part in each["parts"]} <= {
        "request.elements.area", "request.elements.rooms", "request.elements.area.keyword",
    }  # fmt: skip


def test_rank_by_cost(client: SearchEngine) -> None:
    (task,) = make_slices(client, Settings(), Options("test/slices", rank=Rank.COST))["tasks"]
    costs = [each["cost"] for each in task["slices"] if each["confirmed"]]
    assert costs == sorted(costs, reverse=True)


def test_numbers_without_a_worse_slice(client: SearchEngine) -> None:
    """Errors that don't depend on the area: nothing is confirmed."""
    (task,) = make_slices(client, Settings(), Options("test/numbers"))["tasks"]
    assert (task["metric"], task["field"]) == ("mse", "squared_error")
    assert task["mean"] == pytest.approx(np.mean([(k % 7) ** 2 for k in range(1000)]), rel=1e-9)
    assert not any(each["confirmed"] for each in task["slices"])


@pytest.mark.parametrize(("target", "reason"), [("few", "it needs 120 documents, found 50"), ("unfolded", "found 0")])
def test_no_slices(client: SearchEngine, target: str, reason: str) -> None:
    """With the reason: too few documents, or documents without a fold."""
    (task,) = make_slices(client, Settings(), Options(f"test/{target}"))["tasks"]
    assert task["reason"].endswith(reason)
    assert task["notes"] == (
        ["200 documents have no fold, and are left out: request-logger rescore adds it."] * (target == "unfolded")
    )


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (Options("test/slices", metric="f1"), "--metric: expected a mean over the documents (accuracy"),
        (Options("test/slices", fields=("aera",)), "--fields: expected a field that the documents have"),
    ],
)
def test_invalid_options(client: SearchEngine, options: Options, error: str) -> None:
    with pytest.raises(BadQueryError) as raised:
        make_slices(client, Settings(), options)
    assert str(raised.value).startswith(error)


@pytest.fixture
def run(client: SearchEngine, command: Run) -> Run:
    """Run a command, with all documents stored."""
    return command


def rounded(found: Any) -> Any:
    """Return JSON with numbers of 9 digits: an engine may add the values of a sum in another order each time."""
    return json.loads(json.dumps(found), parse_float=lambda text: float(f"{float(text):.9g}"))


def test_report(run: Run, tmp_path: Path) -> None:
    """`--slices` adds the same slices to the report: as text, JSON and on the page, where no value is markup."""
    status, out, _ = run("report", "test/slices", "--slices", "--json")
    (task,) = json.loads(out)["tasks"]
    _, out, _ = run("slices", "test/slices", "--json")
    (alone,) = json.loads(out)["tasks"]
    # The edges of ranges are chosen by the engine's approximate percentiles, and each range's effect takes part in the
    # shrinking of all: two runs agree on the slices, but for the last digits of shrunk effects.
    for one, other in zip(task["slices"]["slices"], alone["slices"], strict=True):
        for name, left, right in (("shrunk", one["finding"], other["finding"]), ("cost", one, other)):
            assert left.pop(name) == pytest.approx(right.pop(name), rel=0.05)
        assert rounded(one) == rounded(other)
    status, out, _ = run("report", "test/slices", "--slices")
    assert status == 0 and "area = north" in out and "were tested on half of the folds" in out
    page = tmp_path / "page.html"
    assert run("report", "test/slices", "--slices", "--html", str(page))[0] == 0
    text = page.read_text()
    assert "<h3>Worst slices</h3>" in text and "area = north" in text and "<east>" not in text
    assert run("report", "test/few", "--slices", "--html", str(page))[0] == 0
    assert "No slices: it needs 120 documents, found 50." in page.read_text()
    status, out, _ = run("report", "test/slices", "--json")
    assert "slices" not in json.loads(out)["tasks"][0]


def test_command(run: Run) -> None:
    """Text, JSON and CSV have the same slices; the status says whether one is confirmed."""
    status, out, _ = run("slices", "test/slices", "--fields", "area,rooms")
    assert status == 1
    assert "slices of 2 fields" in out and "area = north" in out
    status, out, _ = run("slices", "test/slices", "--fields", "area,rooms", "--json")
    (task,) = json.loads(out)["tasks"]
    status, out, _ = run("slices", "test/slices", "--fields", "area,rooms", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["name"] for row in rows] == [each["name"] for each in task["slices"]]
    assert math.isclose(float(rows[0]["finding_mean"]), task["slices"][0]["finding"]["mean"])
    status, out, _ = run("slices", "test/few")
    assert (status, "No slices: it needs 120 documents" in out) == (0, True)
    status, out, _ = run("slices", "test/nothing-at-all")
    assert (status, out) == (1, "No scored predictions.\n")
