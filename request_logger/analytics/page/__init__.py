"""The report as one self-contained HTML page, without scripts, other files or other hosts."""

from __future__ import annotations

from request_logger.analytics.page.render import error_page, page

__all__ = ["error_page", "page"]
