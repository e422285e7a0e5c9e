"""The example notebook runs as it is, and shows the figures that it futures."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import pytest
from nbclient import NotebookClient
from sklearn import metrics as sk

from request_logger.demo.story import PREDICTIONS, REWARDED, WITH_FEEDBACK, make_story, messages_of, send
from tests.helpers import Index, Server

NOTEBOOK = Path(__file__).parent.parent / "examples" / "prediction_analytics.ipynb"


@pytest.fixture
def ran(server: Server, engine: Any, index: Index, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The texts that its cells put out, by how their code begins."""
    deployment = f"iris-{uuid.uuid4().hex[:8]}"
    events = [message for each in messages_of(make_story(), deployment) for message in each]
    send(server.url, events, connections=4, tell=lambda _: None)
    index.refresh()
    parts = urlsplit(engine.url)
    monkeypatch.setenv("ELASTICSEARCH_HOST", parts.hostname or "")
    monkeypatch.setenv("ELASTICSEARCH_PORT", str(parts.port))
    monkeypatch.setenv("DEPLOYMENT", deployment)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    yield {cell["source"]: shown(cell) for cell in notebook.cells if cell["cell_type"] == "code"}


def shown(cell: Any) -> str:
    texts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell["outputs"]]
    # A warning in a reader's notebook is a fault.
    assert not any(out.get("name") == "stderr" for out in cell["outputs"]), cell["outputs"]
    return "\n".join(texts)


def test_it_is_kept_without_outputs() -> None:
    """What it puts out is made by the reader."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert cells
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)


@pytest.mark.engine
def test_its_figures(ran: dict[str, str]) -> None:
    """100, 63 and 46, and precision and recall as scikit-learn has them."""
    story = make_story()
    pairs = story.pairs[:WITH_FEEDBACK]
    truths, answers = [pair.truth for pair in pairs], [story.predicted(pair) for pair in pairs]
    texts = list(ran.values())
    wanted = f"{PREDICTIONS} predictions, {WITH_FEEDBACK} with feedback, {REWARDED} rewarded\n"
    assert (PREDICTIONS, WITH_FEEDBACK, REWARDED) == (100, 63, 46)
    assert wanted in texts
    assert f"accuracy {sk.accuracy_score(truths, answers):.4f}\n" in texts
    (table,) = (text for code, text in ran.items() if code.startswith("def by_class"))
    precision, recall, _, support = sk.precision_recall_fscore_support(truths, answers, labels=list(story.classes))
    rows = {line.split()[0]: [float(value) for value in line.split()[1:]] for line in table.splitlines()[1:]}
    assert rows == {label: pytest.approx([precision[k], recall[k]], abs=1e-6) for k, label in enumerate(story.classes)}
    (last,) = (text for code, text in ran.items() if code.startswith("assert pairs"))
    sizes = {line.split()[0]: int(line.split()[-1]) for line in last.splitlines()[2:]}
    assert sizes == {label: int(support[k]) for k, label in enumerate(story.classes)}
