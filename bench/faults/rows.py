"""All rows, in the order of the table."""

from bench.faults import engine_rows, queue_rows, input_rows, answer_rows, soak  # noqa: F401, I001 - each registers its rows
from bench.faults.registry import ROWS, Row

__all__ = ["ROWS", "Row"]
