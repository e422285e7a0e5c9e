"""docs/feedback.md: its commands upload its file, for predictions that are stored."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.helpers import Index, Sender, Server, event, ndarray
from tests.test_connect_pages import Reader, blocks


@pytest.mark.engine
def test_the_page(server: Server, index: Index, tmp_path: Path) -> None:
    """The dry run shows what is sent; the upload is scored, in the predictions' documents."""
    reader = Reader(server, index, tmp_path)
    ((_, table),) = blocks("feedback", "csv")
    (tmp_path / "truth.csv").write_text(table)
    ids = re.findall(r"^order-\d+", table, re.MULTILINE)
    sender = Sender(server.url)
    for id in ids:
        headers = event("response", id, reader.name("iris"), Ce_Namespace="demo")
        body = ndarray([[0.1, 0.7, 0.2]], ["setosa", "versicolor", "virginica"])
        assert sender.send(headers, body) == (200, b"")
    sender.close()
    dry, done = reader.read("feedback", "iris", folder=tmp_path)
    assert dry.splitlines()[-1] == "truth.csv: 2 rows: 2 would be sent, 0 rejected"
    sent = json.loads(dry.splitlines()[0].partition(" as ")[2])
    assert sent["request_id"] == ids[0]
    assert done.strip() == "truth.csv: 2 rows: 2 accepted, 0 rejected"
    documents = index.documents(f"inference-log-seldon-demo-{reader.name('iris')}-*")
    assert {id: source["metrics"]["correct"] for (_, id), source in documents.items()} == dict(
        zip(ids, (1, 0), strict=True)
    )
