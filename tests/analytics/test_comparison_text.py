"""A comparison in words: one p-value per question."""

from __future__ import annotations

from typing import Any

from request_logger.analytics.comparison_text import header, notes, rows


def row(name: str, a: float, b: float, **more: Any) -> dict[str, Any]:
    """A metric of both groups."""
    return {"name": name, "a": {"value": a}, "b": {"value": b}, **more}


TESTED = {"difference": 0.1, "low": 0.05, "high": 0.15, "p_value": 0.01, "test": "score"}
FOUND: dict[str, Any] = {
    "a": {"name": "default", "documents": 10, "predictions": 10},
    "b": {"name": "canary", "documents": 10, "predictions": 10},
    "form": "fixed-n",
    "metrics": [
        row("accuracy", 0.8, 0.9, **TESTED),
        row("f1_micro", 0.8, 0.9, same_question="accuracy"),
        row("mse", 4.0, 9.0, p_adjusted=0.02, **TESTED),
        row("rmse", 2.0, 3.0, same_question="mse"),
        row("baseline_accuracy", 0.5, 0.5),
    ],
    "verdict": {"metric": "accuracy"},
}


def test_the_same_number_is_printed_once() -> None:
    """Another number that answers the same question stays, without a test."""
    found = {cells[0]: cells[1:] for cells in rows(FOUND)}
    assert list(found) == ["accuracy", "MSE", "RMSE", "baseline accuracy"]
    assert all(len(cells) == len(header(FOUND)) - 1 for cells in found.values())
    assert found["accuracy"][-3:] == ["0.0100", "-", "score"]
    assert found["MSE"][-3:] == ["0.0100", "0.0200", "score"]
    assert found["RMSE"][-3:] == ["-", "-", "as MSE"]
    assert found["baseline accuracy"][-3:] == ["-", "-", "-"]
    text = "\n".join(notes(FOUND))
    assert "The same number as accuracy: F1 micro." in text
    assert "Only accuracy decides (--metric). Other tests (1) have" in text
