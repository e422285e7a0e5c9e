"""The example notebooks run as they are, and show the figures that they promise."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from sklearn import metrics as sk

from request_logger.demo.story import PREDICTIONS, REWARDED, WITH_FEEDBACK, make_story, messages_of, send
from request_logger.settings import Settings
from tests.helpers import Index, Server

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


@pytest.fixture
def target() -> str:
    """The deployment of prediction_analytics.ipynb."""
    return f"demo/iris-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def analytics(
    server: Server, reach: Settings, index: Index, monkeypatch: pytest.MonkeyPatch, target: str
) -> dict[str, str]:
    """The texts of prediction_analytics.ipynb, by the code of the cell."""
    deployment = target.removeprefix("demo/")
    events = [message for each in messages_of(make_story(), deployment) for message in each]
    send(server.url, events, connections=4, tell=lambda _: None)
    index.refresh()
    monkeypatch.setenv("TARGET", target)
    return run("prediction_analytics")


@pytest.fixture
def biased(reach: Settings, index: Index, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, dict[str, str]]]:
    """The index of biased_feedback.ipynb, and its texts by the code of the cell."""
    deployment = f"biopsies-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("DEPLOYMENT", deployment)
    name = f"inference-log-seldon-demo-{deployment}-default"
    yield name, run("biased_feedback")
    index.drop(name)


def run(name: str) -> dict[str, str]:
    """Run a notebook, and return the texts that its cells put out, by their code."""
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return {cell["source"]: shown(cell) for cell in notebook.cells if cell["cell_type"] == "code"}


def shown(cell: Any) -> str:
    texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell["outputs"]]
    # A warning in a reader's notebook is a fault.
    assert not any(out.get("name") == "stderr" for out in cell["outputs"]), cell["outputs"]
    return "\n".join(texts)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    """What it puts out is made by the reader."""
    cells = nbformat.read(path, as_version=4).cells
    assert cells
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)


@pytest.mark.engine
def test_its_figures(analytics: dict[str, str], target: str) -> None:
    """100, 63 and 46, and precision and recall as scikit-learn has them."""
    story = make_story()
    pairs = story.pairs[:WITH_FEEDBACK]
    truths, answers = [pair.truth for pair in pairs], [story.predicted(pair) for pair in pairs]
    texts = list(analytics.values())
    wanted = f"{PREDICTIONS} predictions, {WITH_FEEDBACK} with feedback, {REWARDED} rewarded\n"
    assert (PREDICTIONS, WITH_FEEDBACK, REWARDED) == (100, 63, 46)
    assert wanted in texts
    (listed,) = (text for code, text in analytics.items() if code.endswith("client.deployments()"))
    assert target in listed
    (shown,) = (text for code, text in analytics.items() if code.startswith("metrics = "))
    rows = {row["metric"]: float(row["value"]) for row in unwrapped(shown)}
    assert rows["accuracy"] == pytest.approx(sk.accuracy_score(truths, answers), abs=1e-6)
    (by_class,) = (text for code, text in analytics.items() if code.startswith("classes = "))
    names = ("precision", "recall", "support")
    found = {row["class"]: [float(row[name]) for name in names] for row in unwrapped(by_class)}
    precision, recall, _, support = sk.precision_recall_fscore_support(truths, answers, labels=list(story.classes))
    assert found == {
        label: pytest.approx([precision[k], recall[k], support[k]], abs=1e-6) for k, label in enumerate(story.classes)
    }


@pytest.mark.engine
def test_biased_feedback_ends_in_an_audited_figure(biased: tuple[str, dict[str, str]], index: Index) -> None:
    """Only the audit's interval contains the accuracy; the drift and the slice are those that the notebook makes."""
    name, texts = biased

    def text(start: str) -> str:
        (found,) = (out for code, out in texts.items() if code.startswith(start))
        return found

    naive, true = numbers(text("chance = "))
    assert true - naive > 0.4
    assert text("def selection").startswith("warning: True")

    first, last = table(text("def accuracies")), table(text("found = selection"))
    for rows in (first, last):
        assert rows["over the feedback"][2] < true
        assert rows["weighted"][2] < true
        assert rows["bounds"][1] < true < rows["bounds"][2]
    # While the audited predictions with a truth are those that users report, there is no figure of the audit.
    assert "audit" not in first
    lacking = re.match(r"(\d+) of (\d+) audited predictions lack a truth", text("print(found"))
    assert lacking
    assert text("with tempfile") == f"'audit.csv: {lacking[1]} rows: {lacking[1]} accepted, 0 rejected'"
    accuracy = index.aggregate(name, {"of": {"stats": {"field": "metrics.correct"}}}, {"term": {"audit": True}})["of"]
    assert accuracy["count"] == int(lacking[2])
    assert last["audit"][0] == pytest.approx(accuracy["avg"], abs=1e-4)
    for method in ("audit", "audit, PPI++"):
        assert last[method][1] < true < last[method][2]

    drifted = re.findall(r"^  (\S.*?) +(?:moderate|major) ", text("start, change"), re.MULTILINE)
    assert drifted == ["request.elements.mean symmetry"]
    slices = [line for line in text('print(command(f"slices').splitlines() if line.startswith("  ")][1:]
    assert re.match("  clinic = south  .* yes$", slices[0])
    worst = min(table(text("traffic.groupby")).items(), key=lambda each: each[1][0])
    assert worst[0] == "south"

    gain = re.search(r"the best one gains \S+ \((\S+) to", text('print(command(f"thresholds'))
    assert gain
    assert float(gain[1]) > 0


def unwrapped(text: str) -> list[dict[str, str]]:
    """Return the rows of a shown data frame, whose columns may be in several blocks, one below the other."""
    rows: dict[str, dict[str, str]] = {}
    names: list[str] = []
    for line in filter(None, text.splitlines()):
        first, *cells = line.split()
        if line.startswith(" "):
            names = [name for name in (first, *cells) if name != "\\"]
        else:
            rows.setdefault(first, {}).update(zip(names, cells, strict=True))
    return list(rows.values())


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d+", text)]


def table(text: str) -> dict[str, list[float]]:
    """Return the rows of a data frame whose index has no two spaces in a row."""
    rows = [re.split(r" {2,}", line.strip()) for line in text.splitlines()[1:]]
    return {row[0]: [float(cell) for cell in row[1:]] for row in rows if len(row) > 1}
