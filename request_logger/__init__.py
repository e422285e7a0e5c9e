"""A request logger for Seldon and KServe with scoring inside."""

__version__ = "0.1.0"
