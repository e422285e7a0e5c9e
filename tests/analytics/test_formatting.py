"""Figures as text, in the terminal and on the page."""

from __future__ import annotations

import pytest

from request_logger.analytics.formatting import (
    duration,
    interval,
    number,
    p_value,
    percent,
    remarks,
    window_length,
    words,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (12, "12"),
        (-1234567.0, "-1,234,567"),
        (0.123456, "0.1235"),
        (-12.3456, "-12.35"),
        (9999.4, "9999"),
        (12345.6, "12346"),
        (-12345.6, "-12346"),
        (1e14, "100,000,000,000,000"),
        (1e15, "1e+15"),
        (1.23456e-7, "1.235e-07"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    """Four significant digits, whole numbers in full."""
    assert number(value) == text


def test_interval() -> None:
    """Both ends, or a dash."""
    assert interval({"low": 0.25, "high": 1, "value": 0.5}) == "0.25 to 1"
    assert interval({"value": 0.5}) == "-"


@pytest.mark.parametrize(("share", "text"), [(None, "-"), (0.0, "0 %"), (0.12345, "12.3 %"), (1.0, "100 %")])
def test_percent(share: float | None, text: str) -> None:
    """Three significant digits."""
    assert percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.0123, "12.3 ms"),
        (1.0, "1 s"),
        (59.9, "59.9 s"),
        (60.0, "1 min"),
        (3600.0, "1 h"),
        (86399.0, "24 h"),
        (86400.0, "1 d"),
        (-90.0, "-1.5 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    """In the largest unit that is reached; a feedback may be earlier than its prediction."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "< 0.0001"), (0.00009, "< 0.0001"), (0.0001, "0.0001"), (1.0, "1.0000")]
)
def test_p_value(value: float, text: str) -> None:
    """Four decimals, and no zero."""
    assert p_value(value) == text


def test_words() -> None:
    """Abbreviations are in capitals."""
    assert words("f1_macro") == "F1 macro"
    assert words("log_loss") == "log loss"
    assert words("rmse") == "RMSE"


def test_remarks() -> None:
    """Metrics with the same reason share a line; chance is told where it is more than 0."""
    task = {
        "metrics": [
            {"name": "mcc", "value": 0.5, "no_interval": "too few documents"},
            {"name": "ece", "value": 0.03, "low": 0.0, "high": 0.05, "by_chance": 0.0251},
            {"name": "kappa", "value": 0.4, "no_interval": "too few documents"},
            {"name": "r2", "value": 0.9, "no_interval": "no fold"},
            {"name": "accuracy", "value": 0.9, "low": 0.8, "high": 0.95},
        ]
    }
    assert list(remarks(task)) == [
        "ECE: chance alone gives a perfectly calibrated model about 0.0251.",
        "No interval of MCC, kappa: too few documents.",
        "No interval of R2: no fold.",
    ]
    assert list(remarks({})) == []


@pytest.mark.parametrize(
    ("window", "text"),
    [("1m", "1 min"), ("15m", "15 min"), ("1h", "1 hour"), ("6h", "6 hours"), ("1d", "1 day"), ("month", "a month")],
)
def test_length_of_a_window(window: str, text: str) -> None:
    """Minutes and months are told apart."""
    assert window_length(window) == text
