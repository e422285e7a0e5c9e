"""The report as one self-contained HTML page, and the server's pages, without scripts, other files or other hosts."""

from __future__ import annotations

from request_logger.analytics.page.render import (
    compare_form,
    compare_page,
    comparison_page,
    deployments_page,
    drift_page,
    error_page,
    page,
    section_page,
)

__all__ = [
    "compare_form",
    "compare_page",
    "comparison_page",
    "deployments_page",
    "drift_page",
    "error_page",
    "page",
    "section_page",
]
