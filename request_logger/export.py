"""`frame`: stored pairs as a pandas DataFrame, under its public name. The implementation is in `jobs.export`."""

from request_logger.jobs.export import frame

__all__ = ["frame"]
