"""Checks of the configuration before events are accepted: one report with everything that is invalid."""

from __future__ import annotations

from collections.abc import Callable

from request_logger import otlp
from request_logger.analytics.token_prices import TokenPrices
from request_logger.archives import formats
from request_logger.ingest.access import Access
from request_logger.ingest.redaction import Redactor
from request_logger.metadata import MetadataError, metadata_source
from request_logger.scoring.registry import ScorerError
from request_logger.scoring.rules import Chooser
from request_logger.settings import Settings, SettingsError, problems_of
from request_logger.store.client.client import SearchEngine

_ERRORS = (SettingsError, ScorerError, MetadataError)


def startup_problems(settings: Settings, *more: Callable[[], object]) -> list[str]:
    """Build every configured part once and return one line per problem; ``more`` are the command's own checks."""
    return problems_of(
        lambda: SearchEngine(settings),
        lambda: Chooser(settings.scorer, settings.scorers_config or None),
        lambda: metadata_source(settings),
        lambda: Access(settings),
        lambda: Redactor(settings.redact, settings.redact_key),
        lambda: TokenPrices(settings.token_prices),
        lambda: _check_format(settings.marshal_format),
        lambda: otlp.check(settings),
        *more,
        errors=_ERRORS,
    )


def _check_format(form: str) -> None:
    found = formats.problem(form)
    if found:
        raise SettingsError(f"MARSHAL_FORMAT: {found}")
