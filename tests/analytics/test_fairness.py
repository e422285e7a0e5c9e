"""Rates by the values of a field: those of fairlearn, with the intervals of statsmodels; and on a real engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats

from request_logger.analytics.corrections import benjamini_hochberg
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.fairness.rates import Outcomes, Rate, difference, newcombe
from request_logger.analytics.fairness.report import Options, make_fairness
from request_logger.analytics.shares import Dependence
from request_logger.cli import main
from request_logger.scoring.registry import build
from request_logger.settings import Settings
from tests.analytics.stored import document, engine_at, store
from tests.helpers import DATA

ORACLE = json.loads((DATA / "fairness.json").read_text())
GROUPS = {name: Outcomes(*counts) for name, counts in ORACLE["outcomes"].items()}
INDEX = "inference-log-seldon-test-fairness-default"
Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("rate", list(Rate))
@pytest.mark.parametrize("name", ["b", "c"])
def test_difference(rate: Rate, name: str) -> None:
    """Newcombe's interval as in statsmodels; the chi-squared test of scipy."""
    one, other = GROUPS[name].share(rate), GROUPS["a"].share(rate)
    assert newcombe(one, other) == pytest.approx(ORACLE["newcomb"][name][rate], abs=1e-9)
    found = difference(one, other)
    assert found is not None
    assert found.value == pytest.approx(one[0] / one[1] - other[0] / other[1], abs=1e-12)
    table = [[hits, n - hits] for hits, n in (one, other)]
    assert found.p_value == pytest.approx(stats.chi2_contingency(table, correction=False).pvalue, rel=1e-9)
    wide = difference(one, other, Dependence(2.0, 19))
    assert wide is not None
    assert wide.low < found.low < found.high < wide.high
    assert wide.p_value > found.p_value


def test_few_documents() -> None:
    """Fisher's exact test; none where documents belong together; no difference to a group without any."""
    found = difference((1, 12), (5, 9))
    assert found is not None
    assert found.p_value == pytest.approx(stats.fisher_exact([[1, 11], [5, 4]]).pvalue, rel=1e-9)
    together = difference((1, 12), (5, 9), Dependence(1.5, 19))
    assert together is not None and together.p_value == 1.0
    assert difference((0, 0), (5, 9)) is None


def test_the_least_that_the_chi_squared_test_needs() -> None:
    """It is used from 5 expected documents on, of as many as independent ones would be worth."""
    expected = stats.chi2_contingency([[2, 98], [8, 92]], correction=False).pvalue
    for one, other, together in (
        ((2, 100), (8, 100), Dependence()),
        ((4, 200), (16, 200), Dependence(2.0, 19)),
    ):
        found = difference(one, other, together)
        assert found is not None
        assert found.p_value == pytest.approx(expected, rel=1e-9)
    fewer = difference((2, 100), (8, 100), Dependence(2.0, 19))
    assert fewer is not None and fewer.p_value == 1.0


def test_adjusted_p_values() -> None:
    """As those of statsmodels."""
    assert benjamini_hochberg(ORACLE["p_values"]) == pytest.approx(ORACLE["bh"], abs=1e-12)


@pytest.fixture(scope="module")
def client(engine: Any) -> Iterator[Any]:
    found = engine_at(engine.url)
    binary, multiclass = build("binary", {}), build("multiclass", {})
    pairs = [
        (name, truth, said)
        for name, each in GROUPS.items()
        for count, truth, said in ((each.tp, 1, 1), (each.fp, 0, 1), (each.fn, 1, 0), (each.tn, 0, 0))
        for _ in range(count)
    ]
    labels = np.array([["no", "also no"][k % 2] for k in range(len(pairs))])
    made = []
    for k, (name, truth, said) in enumerate(pairs):
        about = {"elements": {"area": name}}
        made.append(document(binary, truth, said, deployment="fair", **about) | {"fold": k % 20})
        texts = ["yes" if each else str(labels[k]) for each in (truth, said)]
        made.append(document(multiclass, *texts, deployment="fair-classes", **about))
        batch = document(binary, truth, said, deployment="fair-batches", **about) | {"fold": k % 20}
        batch["feedback"] |= {"item": 0, "items": 2}
        made.append(batch)
    store(found, INDEX, made, prefix="fair-")
    yield found
    found.request("DELETE", f"/{INDEX}")


@pytest.fixture
def run(client: Any, reach: Settings, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*argv: str) -> tuple[int, str, str]:
        status = main(["fairness", *argv])
        return status, *capsys.readouterr()

    return command


@pytest.mark.engine
@pytest.mark.parametrize("options", [("test/fair",), ("test/fair-classes", "--class", "yes")])
def test_command(run: Run, options: tuple[str, ...]) -> None:
    """Two classes, and one class against all others: both have the rates and differences of fairlearn."""
    status, out, _ = run(*options, "--by", "area", "--json")
    (task,) = json.loads(out)["tasks"]
    assert (status, task["reference"]) == (0, "a")
    groups = {each["value"]: each for each in task["groups"]}
    for rate in Rate:
        for name, expected in ORACLE["by_group"][rate].items():
            assert groups[name]["rates"][rate]["value"] == pytest.approx(expected, abs=1e-9)
        assert task["greatest"][rate]["difference"] == pytest.approx(ORACLE["difference"][rate], abs=1e-9)
        assert task["greatest"][rate]["ratio"] == pytest.approx(ORACLE["ratio"][rate], abs=1e-9)
        for name in ("b", "c"):
            found = groups[name]["rates"][rate]["difference"]
            assert [found["low"], found["high"]] == pytest.approx(ORACLE["newcomb"][name][rate], abs=1e-9)
    tests = [
        each["difference"] for group in groups.values() for each in group["rates"].values() if "difference" in each
    ]
    expected = stats.false_discovery_control([each["p"] for each in tests])
    assert [each["p_adjusted"] for each in tests] == pytest.approx(list(expected), abs=1e-12)


@pytest.mark.engine
def test_text(run: Run) -> None:
    status, out, _ = run("test/fair", "--by", "area")
    assert status == 0
    assert (
        "selection rate" in out
        and "minus a" in out
        and "greatest difference 0.1285, ratio 0.6729, between b and c" in out
    )
    labels = 'field="area",rate="selection_rate",scorer="binary",target="test/fair"'
    gauge = f"request_logger_fairness_least_ratio{{{labels}}} 0.67"
    assert gauge in run("test/fair", "--by", "area", "--textfile", "-")[1]
    status, out, _ = run("test/fair-classes", "--by", "area")
    assert (status, "No rates: choose the class that a prediction selects by --class: also no, no, yes." in out) == (
        1,
        True,
    )


@pytest.mark.engine
def test_documents_that_belong_together(client: Any) -> None:
    """Their intervals are at least as wide."""
    wide, narrow = (
        make_fairness(client, Settings(), Options("area", f"test/{name}"))["tasks"][0]["groups"]
        for name in ("fair-batches", "fair")
    )
    for one, other in zip(wide, narrow, strict=True):
        for rate in Rate:
            assert one["rates"][rate]["high"] > other["rates"][rate]["high"]


@pytest.mark.engine
@pytest.mark.parametrize(
    ("options", "error"),
    [
        (Options("aera", "test/fair"), "--by: expected a field"),
        (Options("area", "test/fair", reference="z"), "--reference: expected a value of the field, found 'z'"),
        (Options("area", "test/fair", positive="z"), "--class: expected a class of these documents, found 'z'"),
    ],
)
def test_invalid_options(client: Any, options: Options, error: str) -> None:
    with pytest.raises(BadQueryError) as raised:
        make_fairness(client, Settings(), options)
    assert str(raised.value).startswith(error)
