"""What each side of a comparison got wrong."""

from __future__ import annotations

from typing import Any

from request_logger.analytics.compare import Comparison
from request_logger.analytics.wrong_predictions import Options, wrong_predictions
from request_logger.settings import Settings
from request_logger.store.ports import EngineReader

Report = dict[str, Any]


def compared_errors(
    engine: EngineReader,
    settings: Settings,
    comparison: Comparison,
    found: Report,
    limit: int,
    *,
    only_own: bool = False,
) -> dict[str, Report]:
    """Return by the name of each side its wrong predictions (`wrong_predictions`), at most ``limit``.

    ``found`` is what `compare` returned. Empty for evaluations, which have no truth. Raises BadQueryError,
    StoreUnavailableError.
    """
    if found["scorer"].startswith("evaluations."):
        return {}
    wrong = {}
    for name in (comparison.a, comparison.b):
        # Two targets are told apart by their names, all others by the field that has both names.
        is_target = found["by"] == "target"
        options = Options(
            name if is_target else comparison.target,
            comparison.start,
            comparison.end,
            comparison.by_date,
            comparison.where if is_target else (*comparison.where, f"{found['by']}={name}"),
            comparison.mature,
            scorer=found["scorer"],
            limit=limit,
        )
        wrong[name] = wrong_predictions(engine, settings, options, only_own=only_own)
    return wrong
