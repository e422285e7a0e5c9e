"""The report in a terminal: short by default, and what is left out is said."""

from __future__ import annotations

from typing import Any

from request_logger.commands.report_text import ALL, SHORT, Part, lines

METRICS = [
    {"name": "accuracy", "value": 0.75, "low": 0.5, "high": 0.9, "n": 40, "baseline": 0.5},
    {"name": "f1", "value": 0.7, "n": 40, "no_interval": "for a reason"},
]
REPORT: dict[str, Any] = {
    "target": "demo/iris",
    "indices": "inference-log-*",
    "from": "2026-01-01",
    "coverage": {
        "predictions": 50, "with_feedback": 40, "share": 0.8, "scored": 40, "by_truth": 40, "by_reward": 0,
        "feedback_only": 0, "failed": 0,
    },
    "tasks": [
        {
            "scorer": "binary",
            "documents": 40,
            "positive_class": "yes",
            "shown": ["accuracy"],
            "metrics": METRICS,
            "per_class": {f"c{k}": {"precision": 0.5, "recall": 0.25, "f1": 0.3, "support": k} for k in range(12)},
            "confusion_matrix": {"yes": {"yes": 20, "no": 5}, "no": {"no": 15}},
            "over_time": {
                "metric": "accuracy",
                "window": "1d",
                "points": [{"start": "2026-01-01T00:00:00Z", "n": 40, "value": 0.75}],
            },
        }
    ],
    "warnings": ["two scorers"],
    "notes": ["few labels"],
}  # fmt: skip


def test_short() -> None:
    """Warnings first, the head with its time zone, headline metrics and classes; then what --all adds."""
    found = list(lines(REPORT, SHORT))
    assert found[:2] == ["WARNING: two scorers", "demo/iris in inference-log-*, from 2026-01-01 (UTC)"]
    text = "\n".join(found)
    assert "binary: 40 scored, the positive class is yes" in text
    assert "accuracy" in text
    assert "F1  " not in text.split("class  ")[0]
    assert "No interval of F1" not in text
    assert "and 2 rarer classes" in text
    assert "Note: few labels" in text
    assert found[-1] == (
        "--all adds more metrics, the confusion matrix, the figures over time; --html FILE writes a page with plots,"
        " --json prints everything."
    )


def test_all() -> None:
    """Everything, and no word of what is left out."""
    text = "\n".join(lines(REPORT, ALL))
    assert "No interval of F1: for a reason." in text
    assert "truth \\ prediction" in text
    assert "1d from (UTC)" in text
    assert "2026-01-01 00:00" in text
    assert "rarer classes" not in text
    assert "--all" not in text


def test_a_part() -> None:
    """Such as the figures over time, where a window is given."""
    found = list(lines(REPORT, {Part.OVER_TIME}))
    assert any("1d from (UTC)" in line for line in found)
    assert found[-1].startswith("--all adds more metrics, the confusion matrix; ")
