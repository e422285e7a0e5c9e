"""Tells which deployments resemble a target that has no predictions."""
# ruff: noqa: T201  # it prints for the commands

from __future__ import annotations

import sys

from request_logger.analytics.near_deployments import near_deployments
from request_logger.analytics.queries import QueryRunner
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader


def tell_near(engine: EngineReader, settings: Settings, target: str) -> None:
    """Print on standard error what may be meant by a target, for a command that found nothing.

    Nothing is printed without a target, for one with predictions, and if none resembles it. Raises
    StoreUnavailableError.
    """
    near = near_deployments(QueryRunner(engine), settings, target) if target else []
    if near:
        print(f"request-logger: no prediction is of {target!r}: did you mean {' or '.join(near)}?", file=sys.stderr)
