"""Finds the deployments whose names resemble one that has no predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import SequenceMatcher

from request_logger.analytics.deployments import Deployment, find_deployments
from request_logger.analytics.queries import QueryRunner
from request_logger.analytics.scope import find_scope
from request_logger.settings import Settings

_MOST = 3
# That of difflib.get_close_matches.
_LEAST_LIKENESS = 0.6


def near_deployments(runner: QueryRunner, settings: Settings, target: str, *, only_own: bool = False) -> list[str]:
    """Return the targets that resemble ``target``, the nearest first; empty where it has predictions at another time.

    Raises what :class:`QueryRunner` raises.
    """
    known = find_deployments(runner, find_scope(runner.engine, settings, only_own=only_own)).found
    return nearest(target, known)


def nearest(target: str, known: Iterable[Deployment]) -> list[str]:
    """Return the targets of deployments that resemble one; empty if it is among them. Pure.

    The names of the deployment and the predictor must resemble; that of the namespace counts for the order.
    """
    parts = target.lower().split("/")
    likenesses: dict[str, float] = {}
    for each in _targets(known, with_predictors=len(parts) > 2):
        others = each.lower().split("/")
        if each == target or (len(parts) == 1 and each.rpartition("/")[2] == target):
            return []
        # Without a namespace on either side, names are compared from the deployment's on.
        pairs = list(zip(parts if len(parts) == len(others) else parts[-1:], others[-len(parts) :], strict=False))
        found = [SequenceMatcher(None, one, other).ratio() for one, other in pairs]
        if min(found[1:] or found) >= _LEAST_LIKENESS:
            likenesses[each] = sum(found)
    return sorted(likenesses, key=lambda each: (-likenesses[each], each))[:_MOST]


def _targets(known: Iterable[Deployment], *, with_predictors: bool) -> Iterator[str]:
    for each in known:
        if with_predictors and each.target:
            yield from (f"{each.target}/{name}" for name in each.predictors)
        elif each.target:
            yield each.target
