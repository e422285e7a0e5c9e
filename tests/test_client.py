"""The client for notebooks: its data frames have the figures that scikit-learn computes from the same pairs."""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas
import pytest
from sklearn import metrics as sk

from request_logger import client
from request_logger.analytics.errors import BadQueryError
from request_logger.demo.biopsies import CLASSES, MODELS, Biopsy, batches_of, make_biopsies
from request_logger.demo.story import send
from tests.helpers import Index, Server

ROOT = Path(__file__).resolve().parent.parent
# Of the story's 3,000: enough for some hundred truths.
N = 1_200


@pytest.fixture(scope="module")
def engine_url(engine: Any) -> str:
    """The URL of the session's engine."""
    return str(engine.url)


@pytest.fixture(scope="module")
def stored(server: Server, index: Index) -> tuple[str, list[Biopsy]]:
    """The first predictions of the demo's second deployment; returns target and predictions."""
    biopsies = make_biopsies(datetime.now(UTC))[:N]
    name = f"biopsies-{uuid.uuid4().hex[:8]}"
    send(server.url, batches_of(biopsies, name), connections=2, tell=lambda _: None)
    index.refresh()
    return f"demo/{name}", biopsies


def answered(biopsies: Sequence[Biopsy], **wanted: str) -> tuple[list[str], list[str]]:
    """Return truths and predictions of those with feedback and the wanted attributes."""
    chosen = [
        each
        for each in biopsies
        if each.feedback_time is not None and all(getattr(each, name) == value for name, value in wanted.items())
    ]
    assert len(chosen) > 20
    return [each.truth for each in chosen], [CLASSES[each.probability >= 0.5] for each in chosen]


def close(value: float) -> object:
    return pytest.approx(value, abs=1e-9)


@pytest.mark.engine
def test_tables_of_a_report(engine_url: str, stored: tuple[str, list[Biopsy]]) -> None:
    """Metrics, classes, the split by a field and the confusion matrix equal scikit-learn's."""
    target, biopsies = stored
    truths, said = answered(biopsies)
    metrics = client.report(target, engine=engine_url)
    values = metrics.set_index("metric")["value"]
    assert values["accuracy"] == close(sk.accuracy_score(truths, said))
    assert values["mcc"] == close(sk.matthews_corrcoef(truths, said))
    assert set(metrics["scorer"]) == {"binary"}
    assert metrics.attrs["coverage"]["with_feedback"] == len(truths)
    assert not metrics.isna().all().any()

    matrix = client.report(target, "confusion", engine=engine_url).set_index("truth")[list(CLASSES)]
    assert matrix.loc[list(CLASSES)].to_numpy().tolist() == sk.confusion_matrix(truths, said, labels=CLASSES).tolist()

    parts = client.report(target, "by", by="clinic", engine=engine_url)
    accuracies = parts[parts["metric"] == "accuracy"].set_index("clinic")
    for clinic in ("north", "east", "south"):
        some = answered(biopsies, clinic=clinic)
        assert accuracies.loc[clinic, "value"] == close(sk.accuracy_score(*some))
        assert accuracies.loc[clinic, "low"] < accuracies.loc[clinic, "value"] < accuracies.loc[clinic, "high"]

    over_time = client.report(target, "over_time", window="1d", engine=engine_url)
    assert over_time["n"].sum() == len(truths)

    classes = client.report(target, "classes", engine=engine_url).set_index("class")
    assert classes.loc["malignant", "recall"] == close(sk.recall_score(truths, said, pos_label="malignant"))
    assert classes.loc["malignant", "recall_low"] < classes.loc["malignant", "recall"]


@pytest.mark.engine
def test_the_list_of_deployments(engine_url: str, stored: tuple[str, list[Biopsy]]) -> None:
    """A row per deployment with its counts and the headline figure of its report."""
    target, biopsies = stored
    found = client.deployments(target, engine=engine_url).set_index("target").loc[target]
    truths, said = answered(biopsies)
    assert [found["predictions"], found["with_feedback"], found["scored"]] == [N, len(truths), len(truths)]
    assert (found["scorer"], found["metric"]) == ("binary", "accuracy")
    assert found["value"] == close(sk.accuracy_score(truths, said))
    assert found["low"] < found["value"] < found["high"]


@pytest.mark.engine
def test_two_models_compared(engine_url: str, stored: tuple[str, list[Biopsy]]) -> None:
    """Both values and their difference, the verdict beside them; conditions apply."""
    target, biopsies = stored
    found = client.compare(*MODELS, target=target, where=["clinic=south"], fixed_n=True, engine=engine_url)
    accuracies = [sk.accuracy_score(*answered(biopsies, model=name, clinic="south")) for name in MODELS]
    row = found.set_index("metric").loc["accuracy"]
    assert [row["a"], row["b"]] == [close(value) for value in accuracies]
    assert row["difference"] == close(accuracies[1] - accuracies[0])
    assert row["low"] < row["difference"] < row["high"]
    assert found.attrs["verdict"]["metric"] in set(found["metric"])


@pytest.mark.engine
def test_pairs_with_the_columns_that_have_values(engine_url: str, stored: tuple[str, list[Biopsy]]) -> None:
    """A row per prediction with feedback; all others, and all columns that are named, where they are asked for."""
    target, biopsies = stored
    pairs = client.frame(target, engine=engine_url)
    truths, said = answered(biopsies)
    assert sorted(zip(pairs["truth"], pairs["metrics.predicted_label"], strict=True)) == sorted(
        zip(truths, said, strict=True)
    )
    assert not pairs.isna().all().any()
    assert "reward" not in pairs
    assert len(client.frame(target, everything=True, engine=engine_url)) == N
    named = client.frame(target, columns=["reward", "id"], engine=engine_url)
    assert list(named) == ["id", "reward"]
    assert named["reward"].isna().all()


@pytest.mark.engine
def test_a_deployment_without_predictions(engine_url: str) -> None:
    """Its tables are empty frames."""
    for table in sorted(client.TABLES.keys() - {"by"}):
        found = client.report("demo/none-such", table, engine=engine_url)
        assert isinstance(found, pandas.DataFrame)
        assert len(found) == 0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("charts", "table: expected one of metrics, classes, by, over_time, confusion, found 'charts'"),
        ("by", "by: expected the name of a field for the table by"),
    ],
)
def test_a_wrong_table(table: str, message: str) -> None:
    """One line says what was expected, before the search engine is asked."""
    with pytest.raises(BadQueryError, match=f"^{re.escape(message)}$"):
        client.report("demo/iris", table, engine="http://127.0.0.1:9")


def test_the_page_names_all_functions_and_tables() -> None:
    """docs/notebook.md shows every function and every table, and no other."""
    page = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    assert set(re.findall(r"client\.([a-z]\w*)\(", page)) == {name for name in client.__all__ if name.islower()}
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE) == list(client.TABLES)
