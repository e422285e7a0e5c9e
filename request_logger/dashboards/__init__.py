"""Dashboards and alerts as files, made of what the scorers declare, so that no field or query can drift from them."""

from request_logger.dashboards.files import files

__all__ = ["files"]
