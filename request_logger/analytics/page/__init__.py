"""The report as one HTML page that needs nothing else: no script, no other file, no other host."""

from __future__ import annotations

from request_logger.analytics.page.render import error_page, page

__all__ = ["error_page", "page"]
