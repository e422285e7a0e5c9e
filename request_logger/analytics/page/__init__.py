"""The report as one self-contained HTML page, without scripts, other files or other hosts."""

from __future__ import annotations

from request_logger.analytics.page.render import comparison_page, drift_page, error_page, page

__all__ = ["comparison_page", "drift_page", "error_page", "page"]
