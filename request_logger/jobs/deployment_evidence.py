"""Reads all pairs of deployments, so that ``auto`` decides how each deployment is read by all of its documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from request_logger.analytics.selection import WITH_FEEDBACK, Selection, having
from request_logger.jobs.rescore import not_needed
from request_logger.scoring.evidence import NOTHING, Evidence, Origin, may_add, observed
from request_logger.scoring.known_evidence import ByPair
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import id_of, score
from request_logger.scoring.stored_evidence import EvidenceError, StoredEvidence
from request_logger.scoring.stored_responses import origin_of
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from request_logger.store.client.scan import Scan
from scorers.forms import Form


class Gathered(ByPair):
    """Evidence of any number of deployments, gathered by one thread."""

    def __init__(self) -> None:
        self.by_origin: dict[Origin, Evidence] = {}

    def needs(self, origin: Origin, id: str) -> bool:
        """Return whether a pair may add anything."""
        return may_add(self.by_origin.get(origin, NOTHING), id)

    def observe(self, origin: Origin, id: str, form: Form) -> None:
        """Add a pair."""
        self.by_origin[origin] = observed(self.by_origin.get(origin, NOTHING), id, form)


def gathered(
    engine: SearchEngine,
    settings: Settings,
    selection: Selection,
    scorer: str,
    config: str | None,
    *,
    page: int,
    on_page: Callable[[int], object],
) -> dict[Origin, Evidence]:
    """Return what the documents of a selection show, for each deployment whose scorer ``auto`` chooses.

    ``on_page`` is called with the number of documents of each page. Raises ScanError and StoreUnavailableError.
    """
    path = selection.path(settings)
    engine.request("POST", f"{path}/_refresh", params={"ignore_unavailable": "true"})
    found = Gathered()
    chooser = Chooser(scorer, config, found)
    query = having(WITH_FEEDBACK, *selection.filters())
    source = {"excludes": not_needed("")}
    with Scan(engine, path, query, source=source, page=page, slices=1) as scan:
        for hits in scan.pages(0):
            for hit in hits:
                # Most documents are not in the sample, and need not be decoded.
                if found.needs(origin_of(hit.source), id_of(hit.source)):
                    score(hit.source, chooser, chooser.observe)
            on_page(len(hits))
    return found.by_origin


def replaced(engine: SearchEngine, by_origin: dict[Origin, Evidence]) -> tuple[dict[Origin, Evidence], str]:
    """Store evidence in place of what the loggers have gathered; return what is stored then, and why it failed, or "".

    Raises StoreUnavailableError.
    """
    stored = StoredEvidence(engine)
    try:
        known = stored.merge(dict.fromkeys(by_origin, NOTHING))
        return stored.merge(judged(by_origin, known)), ""
    except EvidenceError as error:
        return judged(by_origin, {}), str(error)


def judged(by_origin: dict[Origin, Evidence], known: dict[Origin, Evidence]) -> dict[Origin, Evidence]:
    """Return evidence of whole deployments, of a later epoch than what is known of them."""
    return {
        origin: replace(evidence, epoch=known.get(origin, NOTHING).epoch + 1) for origin, evidence in by_origin.items()
    }
