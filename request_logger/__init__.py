"""A request logger for Seldon and KServe that scores predictions as feedback arrives."""

__version__ = "0.1.0"
