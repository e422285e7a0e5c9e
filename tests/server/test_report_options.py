"""The options of a report in a query string."""

from __future__ import annotations

import pytest

from request_logger.analytics.errors import BadQueryError
from request_logger.server.report_parameters import report_options


@pytest.mark.parametrize(
    ("by", "fields"),
    [("", ("", "")), (" area ", ("area", "")), ("area\nsize", ("area", "size")), ("\narea\n", ("area", ""))],
)
def test_fields_to_split_by(by: str, fields: tuple[str, str]) -> None:
    """One, or two that are crossed; a repeated parameter has a line per value."""
    options = report_options({"by": by})
    assert (options.by, options.across) == fields


def test_too_many_fields() -> None:
    """Three would have too few documents in each part."""
    with pytest.raises(BadQueryError, match="by: expected one field or two, found 3"):
        report_options({"by": "a\nb\nc"})
