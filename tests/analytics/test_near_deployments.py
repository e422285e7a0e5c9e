"""Which deployments resemble a name that has no predictions."""

from __future__ import annotations

import pytest

from request_logger.analytics.deployments import Deployment
from request_logger.analytics.near_deployments import nearest

KNOWN = [
    Deployment(namespace, name, ("default", "canary"), 1, 0, 0, 0, {}, "", None)
    for namespace, name in (("demo", "iris"), ("prod", "iris"), ("demo", "wine"), ("", ""))
]


@pytest.mark.parametrize(
    ("target", "near"),
    [
        ("demo/irs", ["demo/iris", "prod/iris"]),
        ("irsi", ["demo/iris", "prod/iris"]),
        ("Demo/Iris", ["demo/iris", "prod/iris"]),
        ("demo/iris/canry", ["demo/iris/canary", "prod/iris/canary"]),
        # It has predictions, but not in the time span.
        ("demo/iris", []),
        ("iris", []),
        ("demo/iris/canary", []),
        ("xyzzy", []),
        ("demo/xyzzy", []),
        ("a/b/c/d", []),
        ("", []),
    ],
)
def test_nearest(target: str, near: list[str]) -> None:
    """The nearest first, none for a name that exists or resembles none."""
    assert nearest(target, KNOWN) == near
