"""What an environment that doesn't say it means."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from request_logger.settings import Settings


@pytest.fixture
def one_core() -> Iterator[None]:
    """The process may use one core, as in a small container with a CPU set."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_no_more_workers_than_cores(one_core: None) -> None:
    """Unless somebody says so."""
    assert Settings.from_env({}).gunicorn_workers == 1
    assert Settings.from_env({"GUNICORN_WORKERS": "3"}).gunicorn_workers == 3
