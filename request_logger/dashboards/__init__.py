"""Dashboards and alert rules as files, generated from the scorers' declarations so that no field or query can drift."""

from request_logger.dashboards.files import files

__all__ = ["files"]
