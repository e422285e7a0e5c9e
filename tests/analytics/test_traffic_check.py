"""The traffic's split and the share with feedback, against scipy's chi-squared tests."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.traffic_check import WARNS_BELOW, Arm, parse_split, traffic_check


@pytest.mark.parametrize(
    ("sizes", "split", "warns"),
    [
        ((5000, 5100), "50:50", False),
        ((5000, 5600), "50:50", True),
        ((900, 103), "9:1", False),
        ((900, 40), "90:10", True),
    ],
)
def test_sample_ratio(sizes: tuple[int, int], split: str, warns: bool) -> None:
    """scipy's chi-squared test of the counts against the split."""
    shares = parse_split(split)
    assert shares is not None
    found, warnings = traffic_check(Arm("a", sizes[0], 0), Arm("b", sizes[1], 0), shares, is_shadow=False)
    expected = stats.chisquare(sizes, np.array(shares) * sum(sizes)).pvalue
    assert found["sample_ratio"]["p_value"] == pytest.approx(expected, rel=1e-9)
    assert found["sample_ratio"]["assumed"] is False
    assert bool(warnings) == warns == (expected < WARNS_BELOW)


@pytest.mark.parametrize(
    ("sizes", "is_shadow", "checked"),
    [((520, 480), False, True), ((900, 100), False, False), ((900, 100), True, True), ((0, 0), False, False)],
)
def test_the_split_that_is_assumed(sizes: tuple[int, int], is_shadow: bool, checked: bool) -> None:
    """Half and half for a shadow, and for groups that are nearly equal; else it is unknown, and not checked."""
    found, warnings = traffic_check(Arm("a", sizes[0], 0), Arm("b", sizes[1], 0), None, is_shadow=is_shadow)
    assert ("sample_ratio" in found) == checked
    if checked:
        assert found["sample_ratio"]["assumed"] is True
    assert len(warnings) == (sizes == (900, 100) and is_shadow)


@pytest.mark.parametrize(("with_feedback", "warns"), [((500, 300), True), ((500, 520), False), ((0, 0), False)])
def test_feedback(with_feedback: tuple[int, int], warns: bool) -> None:
    """Errors that are reported in 50 % of one and 30 % of the other make a false winner."""
    arms = [Arm(name, 1000, count) for name, count in zip("ab", with_feedback, strict=True)]
    found, warnings = traffic_check(arms[0], arms[1], None, is_shadow=False)
    assert (found["feedback"]["a"], found["feedback"]["b"]) == tuple(count / 1000 for count in with_feedback)
    if sum(with_feedback):
        table = [[count, 1000 - count] for count in with_feedback]
        expected = stats.chi2_contingency(table, correction=False).pvalue
        assert found["feedback"]["p_value"] == pytest.approx(expected, rel=1e-9)
    assert bool(warnings) == warns
    if warns:
        assert warnings[0].startswith("50 % of a have feedback, but 30 % of b")


@pytest.mark.parametrize("text", ["90", "90:10:5", "a:b", "0:100", "-1:2", "nan:1", "1:inf", ":"])
def test_a_split_that_is_none(text: str) -> None:
    with pytest.raises(BadQueryError, match=r"^--split: expected two positive numbers such as 90:10, found "):
        parse_split(text)


def test_splits() -> None:
    """Any two numbers; an empty text is none."""
    assert parse_split("") is None
    assert parse_split("3:1") == parse_split("75:25") == (0.75, 0.25)
