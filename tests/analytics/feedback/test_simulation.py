"""The simulation behind docs/selection.md, in short: what corrects which kind of feedback, and what doesn't."""

from __future__ import annotations

import pytest

from bench.selection import FEEDBACK, METHODS, PAGE, simulate, table, true_accuracy

# Of the bench's 1,000: the standard error of a coverage of .95 is then .03.
REPEATS = 50
NAIVE, WEIGHTED, _, AUDIT, POWERED = METHODS


@pytest.fixture(scope="module")
def true() -> float:
    return true_accuracy()


@pytest.mark.parametrize("kind", ["errors reported 5 times more", "low confidence reviewed", "random 5 %"])
def test_the_audit_holds_whatever_feedback_does(kind: str, true: float) -> None:
    """Bias within .01, and no more intervals that miss than chance allows (three standard errors)."""
    found = simulate(kind, true, REPEATS)
    for method in (AUDIT, POWERED):
        assert abs(found.outcomes[method].bias(true)) < 0.01
        assert found.outcomes[method].coverage > 0.86
    assert found.outcomes[POWERED].width < found.outcomes[AUDIT].width
    is_random = kind.startswith("random")
    assert (found.warned < 0.1) if is_random else (found.warned > 0.9)
    assert (abs(found.outcomes[NAIVE].bias(true)) < 0.01) is is_random
    # Weighting corrects what label and score explain, and not that errors are reported.
    assert (abs(found.outcomes[WEIGHTED].bias(true)) < 0.015) is not kind.startswith("errors")


def test_the_page_has_the_table(true: float) -> None:
    """With the same rows and columns; `python -m bench.selection --write` updates it."""
    head, line = table({}, true)
    text = PAGE.read_text(encoding="utf-8")
    assert f"{head}\n{line}\n" in text
    rows = [row for row in text.splitlines() if row.split("|")[1:2] and row.split("|")[1].strip() in FEEDBACK]
    assert len(rows) == len(FEEDBACK)
    assert all(row.count("|") == head.count("|") for row in rows)
