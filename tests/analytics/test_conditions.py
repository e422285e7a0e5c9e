"""--where and targets: the documents that fulfil conditions are those that pandas selects from the same rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
import requests

from request_logger.analytics.compare import Comparison, compare
from request_logger.analytics.conditions import Condition, Operator, selected, where
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.report import Options, make_report
from request_logger.analytics.scope import Scope
from request_logger.analytics.selection import Selection
from request_logger.cli import main
from request_logger.jobs.export import frame
from request_logger.settings import Settings
from scorers.multiclass import Multiclass
from tests.analytics.stored import START, document, engine_at, store
from tests.helpers import Server

N = 300
RNG = np.random.default_rng(8)
ROWS = pd.DataFrame(
    {
        "country": RNG.choice(["DE", "DE-BY", "fr", "x=y", "a*b", ""], N),
        "age": RNG.integers(18, 80, N),
        "income": np.round(RNG.lognormal(3, 1, N), 3),
        "deployment": RNG.choice(["one", "two"], N),
        "predictor": RNG.choice(["default", "canary"], N),
        "truth": RNG.integers(0, 3, N),
        "prediction": RNG.integers(0, 3, N),
        "at": [START + timedelta(minutes=k) for k in range(N)],
    }
)
# Some rows lack an element.
ROWS.loc[ROWS.index % 7 == 0, "age"] = -1
CORRECT = ROWS.truth == ROWS.prediction
INDEX = "inference-log-test-conditions"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("country=DE", Condition("country", Operator.IS, "DE")),
        ("country = x=y", Condition("country", Operator.IS, "x=y")),
        ("age>=30", Condition("age", Operator.AT_LEAST, "30")),
        ("age <= 30", Condition("age", Operator.AT_MOST, "30")),
        ("age>3", Condition("age", Operator.ABOVE, "3")),
        ("age<-3.5", Condition("age", Operator.BELOW, "-3.5")),
        ("country!=", Condition("country", Operator.IS_NOT, "")),
        ("request.elements.a b=c d", Condition("request.elements.a b", Operator.IS, "c d")),
    ],
)
def test_the_text_of_a_condition(text: str, found: Condition) -> None:
    """The first operator separates the field from the value; spaces around both don't count."""
    assert Condition.of(text) == found


@pytest.mark.parametrize("text", ["", "country", "=DE", ">3", "!"])
def test_what_is_no_condition(text: str) -> None:
    """The error says what is expected."""
    with pytest.raises(BadQueryError, match=r"^--where: expected field=value, or with one of != >= <= > <"):
        Condition.of(text)


@pytest.fixture(scope="module")
def stored(engine: Any) -> Iterator[Any]:
    """The rows as documents of two deployments in one index."""
    found = engine_at(engine.url)

    def elements(row: Any) -> dict[str, Any]:
        known = {"country": row.country, "age": int(row.age), "income": row.income}
        return {name: value for name, value in known.items() if value not in ("", -1)}

    store(
        found,
        INDEX,
        (
            document(
                Multiclass(),
                int(row.truth),
                int(row.prediction),
                at=row.at,
                deployment=f"cond-{row.deployment}",
                predictor=row.predictor,
                elements=elements(row),
                request_id=f"conditions-{row.Index}",
            )
            for row in ROWS.itertuples()
        ),
    )
    yield found
    found.request("DELETE", f"/{INDEX}")


CASES: list[tuple[list[str], Callable[[pd.DataFrame], pd.Series]]] = [
    (["country=DE"], lambda r: r.country == "DE"),
    (["country!=DE"], lambda r: r.country != "DE"),
    (["country=DE*"], lambda r: r.country.str.startswith("DE")),
    (["country=D?-BY"], lambda r: r.country == "DE-BY"),
    (["country=x=y"], lambda r: r.country == "x=y"),
    (["country="], lambda r: r.country == ""),
    (["country!="], lambda r: r.country != ""),
    (["age>=30"], lambda r: r.age >= 30),
    (["age>30", "age<=40"], lambda r: (r.age > 30) & (r.age <= 40)),
    (["age=44"], lambda r: r.age == 44),
    (["age!=44"], lambda r: r.age != 44),
    (["age="], lambda r: r.age == -1),
    (["income<12.5", "country=fr"], lambda r: (r.income < 12.5) & (r.country == "fr")),
    (["request.elements.income>=12.5"], lambda r: r.income >= 12.5),
    (["predictor=canary", "correct=0"], lambda r: (r.predictor == "canary") & ~CORRECT),
    (["deployment=cond-o*"], lambda r: r.deployment == "one"),
    (["@timestamp>=2026-01-05T02:00:00Z"], lambda r: r["at"] >= START + timedelta(hours=2)),
]


@pytest.mark.engine
@pytest.mark.parametrize(("texts", "chosen"), CASES, ids=[" ".join(texts) for texts, _ in CASES])
def test_conditions_select_what_pandas_selects(
    stored: Any, texts: list[str], chosen: Callable[[pd.DataFrame], pd.Series]
) -> None:
    """The same number of documents, and the same number of correct ones; with a selection as with a scope."""
    runner = QueryRunner(stored)
    scope = where(runner, Scope(INDEX), texts)
    rows = chosen(ROWS)
    assert 0 < rows.sum() < N
    assert runner.count(scope) == rows.sum()
    assert runner.count(scope.having({"term": {"metrics.correct": 1}})) == (rows & CORRECT).sum()
    selection = selected(stored, Settings(), Selection(index=INDEX), texts=texts)
    assert selection.filters() == list(scope.filters)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("contry=DE", "--where: expected a field that the documents have, such as model or an element, found 'contry'"),
        ("age=old", "--where: expected a number for 'age', found 'old'"),
        ("age>=1e999", "--where: expected a number for 'age', found '1e999'"),
        ("country>=b", "--where: expected a number or a date after >=, and a field of numbers or dates, for 'country'"),
    ],
)
def test_a_wrong_condition_is_one_line(stored: Any, text: str, line: str) -> None:
    """It names the field and what is expected; an unknown field has its neighbours."""
    with pytest.raises(BadQueryError) as raised:
        where(QueryRunner(stored), Scope(INDEX), [text])
    assert str(raised.value).startswith(line)
    if "contry" in text:
        assert str(raised.value).endswith("; similar: country; there are also: age, income")


@pytest.mark.engine
def test_the_whole_question(stored: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A deployment, in some countries, this week, one predictor against the other: report, compare and export agree."""
    host, _, port = stored.urls[0].rpartition("//")[2].partition(":")
    for name in ("HOST", "PORT"):
        monkeypatch.delenv(f"ELASTICSEARCH_{name}", raising=False)
    options = ["--engine", f"http://{host}:{port}", "--where", "country=DE*", "--where", "age>=30"]
    rows = ROWS[ROWS.country.str.startswith("DE") & (ROWS.age >= 30) & (ROWS.deployment == "one")]
    right = CORRECT[rows.index]

    assert main(["report", "test/cond-one", *options, "--from", "2026-01-05", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["where"] == ["country=DE*", "age>=30"]
    accuracy = report["tasks"][0]["metrics"][0]
    assert (accuracy["name"], accuracy["n"]) == ("accuracy", len(rows))
    assert accuracy["value"] == pytest.approx(right.mean(), abs=1e-9)
    assert main(["report", "test/cond-one", *options]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(", country=DE* and age>=30")

    assert main(["compare", "default", "canary", "--in", "test/cond-one", *options, "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    for side, predictor in (("a", "default"), ("b", "canary")):
        of_one = rows.predictor == predictor
        assert found[side]["documents"] == of_one.sum()
        assert found["metrics"][0][side]["value"] == pytest.approx(right[of_one].mean(), abs=1e-9)

    assert main(["export", "-", "--in", "test/cond-one", *options, "--columns", "RequestId,request_id"]) in (0, 2)
    capsys.readouterr()
    settings = Settings(elasticsearch_host=host, elasticsearch_port=int(port))
    pairs = frame(settings=settings, target="test/cond-one", where=["country=DE*", "age>=30"])
    assert len(pairs) == len(rows)
    assert main(["check-quality", "--in", "test/cond-one", *options, "--min", "accuracy=0"]) == 0
    assert f"over {len(rows):,} pairs" in capsys.readouterr().out
    assert main(["check-quality", "--in", "x/y", "--index", INDEX, *options, "--min", "accuracy=0"]) == 2
    assert capsys.readouterr().err == "request-logger: --in, --index: expected one of them\n"


@pytest.mark.engine
def test_two_deployments_are_compared_by_their_targets(stored: Any) -> None:
    """`compare test/cond-one test/cond-two`; a target without predictions is named."""
    found = compare(stored, Settings(), Comparison("test/cond-one", "test/cond-two", INDEX))
    assert found["by"] == "target"
    for side, name in (("a", "one"), ("b", "two")):
        assert found["metrics"][0][side]["value"] == pytest.approx(CORRECT[ROWS.deployment == name].mean(), abs=1e-9)
    with pytest.raises(BadQueryError, match=r"^no prediction is of 'test/absent'$"):
        compare(stored, Settings(), Comparison("test/cond-one", "test/absent", INDEX))


@pytest.mark.engine
def test_conditions_in_a_url(stored: Any, make_server: Callable[..., Server]) -> None:
    """`where` may be repeated; the page has them in its form, escaped."""
    server = make_server(stored.urls[0], UI="true")
    target = {"target": INDEX, "where": ["country=DE*", "age>=30"]}
    answer = requests.get(f"{server.url}/v1/report", params=target, timeout=30)
    expected = make_report(stored, Settings(), Options(INDEX, where=("country=DE*", "age>=30")))
    assert answer.json()["coverage"] == expected["coverage"]
    page = requests.get(f"{server.url}/ui", params=target, timeout=30).text
    assert "country=DE*\nage&gt;=30</textarea>" in page
    wrong = requests.get(f"{server.url}/v1/report", params={"where": "contry=1"}, timeout=30)
    assert wrong.status_code == 400
    assert wrong.json()["error"].startswith("where: expected a field")
