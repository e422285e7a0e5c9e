"""What an environment that doesn't say it means."""

from __future__ import annotations

import os

import pytest

from request_logger.settings import Settings


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (3, 2), (4, 3), (64, 3)])
def test_as_many_workers_as_leave_a_core(monkeypatch: pytest.MonkeyPatch, cores: int, workers: int) -> None:
    """Of those that the process may use; unless somebody says how many."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert Settings.from_env({}).gunicorn_workers == workers
    assert Settings.from_env({"GUNICORN_WORKERS": "5"}).gunicorn_workers == 5
