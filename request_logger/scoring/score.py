"""Scores a document that has a response and a feedback: computes its ``metrics``.

Scoring is a pure function of the document, so the fields are the same whichever part arrives last, and however often.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from request_logger.common.guard import reraise_if_killed
from request_logger.common.mapped_fields import DELAY
from request_logger.common.times import now
from request_logger.documents.audit import with_audit
from request_logger.documents.batches import has_own_messages
from request_logger.documents.document import Document, expand, part_in
from request_logger.documents.folds import with_fold
from request_logger.documents.kept_fields import REMOVED
from request_logger.documents.latency import delay_seconds, with_latency
from request_logger.payloads import UndecodableError, decode_message
from request_logger.payloads.evaluations import EVALUATIONS
from request_logger.payloads.flat import Flat, read_flat
from request_logger.scoring import custom_metrics, evaluations, user_scorers
from request_logger.scoring.evidence import Origin
from request_logger.scoring.predictions import ResponseChooser, with_prediction
from request_logger.scoring.reasons import PairReason, PairWarning, chooser_raised, scoring_raised
from request_logger.scoring.stored_responses import Stored, origin_of, stored_row
from scorers.base import Row, UnscorableError, finite

Settle = Callable[[Document], Document]
Observe = Callable[[str, Origin, Row | None, Row | None], None]
"""Takes the id and the origin of a prediction, and its pair. Never raises."""

log = logging.getLogger(__name__)


class ScorerLike(Protocol):
    """A scorer, as scoring uses it."""

    @property
    def name(self) -> str:
        """The scorer's name, which is stored in the document."""
        ...

    def score(self, truth: Row, prediction: Row) -> dict[str, Any]:
        """Score one pair."""
        ...


class ChooserLike(ResponseChooser, Protocol):
    """Chooses scorers, as scoring uses it."""

    def choose(
        self,
        namespace: str,
        deployment: str,
        predictor: str,
        model: str,
        truth: Row | None,
        prediction: Row | None,
    ) -> ScorerLike:
        """Choose the scorer of a pair."""
        ...


def settler(
    chooser: ChooserLike, fold_key: str = "", audit_rate: float = 0.0, observe: Observe = lambda *pair: None
) -> Settle:
    """Return the function that updates what a joined document derives: latency, metrics, prediction, fold and audit.

    ``fold_key``: see `folds.with_fold`; ``audit_rate``: see `audit.with_audit`. ``observe`` is called for each pair
    before its scorer is chosen, see `Chooser.observe`.
    """

    def settle(document: Document) -> Document:
        if REMOVED in document:
            return _without_payload(document)
        timed = with_latency(document)
        response = _response_of(timed)
        scored = with_prediction(_with_metrics(timed, response), chooser, response)
        return with_audit(with_fold(scored, fold_key), audit_rate)

    def _without_payload(document: Document) -> Document:
        """Keep what was derived from the payload while it was there; only new evaluations change the metrics."""
        kept = document.get("metrics")
        if not isinstance(kept, dict) or "feedback" not in document:
            return _with_metrics(document)
        assessed, _ = evaluations.of_feedback(part_in(document, "feedback"))
        whole = expand(kept)
        metrics = {**whole, **assessed}
        return document if metrics == whole else {**document, "metrics": {**metrics, "scored_at": now()}}

    def _with_metrics(document: Document, response: Stored | None = None) -> Document:
        metrics = score(document, chooser, observe, response) if "feedback" in document else None
        kept = document.get("metrics")
        if metrics is None:
            return {name: value for name, value in document.items() if name != "metrics"} if kept else document
        if isinstance(kept, dict) and {**kept, "scored_at": None} == {**metrics, "scored_at": None}:
            return document
        return {**document, "metrics": {**metrics, "scored_at": now()}}

    return settle


def _response_of(document: Document) -> Stored | None:
    """Return the stored response; None if reading it fails, which those that need it then report."""
    try:
        return stored_row(document)
    except Exception:
        return None


def score(
    document: Document,
    chooser: ChooserLike,
    observe: Observe = lambda *pair: None,
    response: Stored | None = None,
) -> dict[str, Any] | None:
    """Return the metrics of a document; None if its response is missing and its feedback has only a truth or a reward.

    ``response`` is what `stored_row` returns for it, where that is known.

    Custom metrics and evaluations need no response.

    The stored response is scored; the response in the feedback only if none is stored, and ``response_disagrees`` is
    set if the two differ. If the pair can't be scored, ``error`` and ``unscorable`` have the reason, a fixed text: in
    regression ``error`` is a number, so only ``unscorable`` can be counted by its text. A truth or a reward has its
    delay after the prediction. Never raises, whatever the scorer does and whichever program wrote the document.
    """
    try:
        return _with_delay(_score(document, chooser, observe, response), document)
    except BaseException as error:
        # A document from another program, or a defect here, must not end the thread that stores events.
        reraise_if_killed(error)
        log.exception("a document could not be scored")
        return _unscorable(scoring_raised(error))


def _with_delay(metrics: dict[str, Any] | None, document: Document) -> dict[str, Any] | None:
    """Return the metrics of a truth or a reward with its delay, where that is known; all others unchanged."""
    if metrics is None or not ("basis" in metrics or "unscorable" in metrics):
        return metrics
    delay = delay_seconds(document)
    return metrics if delay is None else {**metrics, DELAY: delay}


def _score(
    document: Document, chooser: ChooserLike, observe: Observe, response: Stored | None
) -> dict[str, Any] | None:
    feedback = part_in(document, "feedback")
    if "undecodable" in feedback:
        return _unscorable(PairReason.FEEDBACK_UNDECODABLE)
    row, _ = row_position(feedback)
    stored, embedded, problem = _responses(document, feedback, response)
    prediction = stored or embedded
    own, wrong = custom_metrics.of_feedback(feedback)
    # The custom metrics of a feedback for a batch concern the whole batch: they are counted once, in its first row.
    metrics = dict(own) if row == 0 else {}
    assessed, unusable = evaluations.of_feedback(feedback) if EVALUATIONS in feedback else ({}, [])
    metrics |= assessed
    has_verdict = feedback.get("truth") is not None or "reward" in feedback
    if not has_verdict and unusable:
        metrics["warning"] = _warning(unusable)
    says_only_others = not has_verdict and (own or assessed or unusable)
    if says_only_others or (prediction is None and problem is None):
        return metrics or None
    wrong += unusable
    if problem is PairReason.REQUEST_FAILED:
        return {**metrics, **_unscorable(problem)}
    reward = _reward(feedback.get("reward"), row, wrong)
    if reward is not None:
        metrics["reward"] = reward
    if stored is not None and embedded is not None and stored.value != embedded.value:
        metrics["response_disagrees"] = True
    try:
        truth, unused = _truth(feedback, prediction)
        if unused:
            wrong.append(PairWarning.TRUTH_LONG)
        if prediction is None and truth is not None:
            raise _no_pair(problem or PairReason.NO_RESPONSE)
        if truth is None and "reward" not in feedback:
            raise _no_pair(PairReason.NOTHING_SAID)
        origin = origin_of(document)
        observe(id_of(document), origin, truth, prediction)
        scorer = _chosen(chooser, origin, truth, prediction)
        metrics["scorer"] = user_scorers.name_of(scorer)
        metrics["basis"] = "reward" if truth is None else "truth"
        known = Row(_row_of(feedback["reward"], row)) if truth is None else truth
        metrics = custom_metrics.combine(metrics, user_scorers.run(scorer, known, prediction or Row(None)))
    except UnscorableError as error:
        metrics.update(_unscorable(error.reason))
    if wrong:
        metrics["warning"] = _warning(wrong)
    if reward in (0, 1) and "correct" in metrics:
        metrics["reward_agrees"] = bool(reward) == bool(metrics["correct"])
    return metrics


def _warning(problems: list[str]) -> str | list[str]:
    told = sorted(set(map(str, problems)))
    return told[0] if len(told) == 1 else told


def _chosen(chooser: ChooserLike, origin: Origin, truth: Row | None, prediction: Row | None) -> ScorerLike:
    try:
        return chooser.choose(*origin, truth, prediction)
    except BaseException as error:
        reraise_if_killed(error)
        raise _no_pair(chooser_raised(error)) from None


def id_of(document: Document) -> str:
    """Return what identifies a document's prediction within its deployment: its request, and its row in a batch."""
    row, rows = row_position(part_in(document, "feedback"))
    id = document.get("RequestId")
    return f"{id if isinstance(id, str) else ''}:{row}" if rows > 1 else str(id)


def pair(document: Document) -> tuple[Row | None, Row | None]:
    """Return the truth and the prediction that scoring compares; None for one that is missing or can't be read."""
    feedback = part_in(document, "feedback")
    stored, embedded, _ = _responses(document, feedback)
    prediction = stored or embedded
    try:
        truth, _ = _truth(feedback, prediction)
    except UnscorableError:
        truth = None
    return truth, prediction


def _unscorable(reason: str) -> dict[str, str]:
    return {"error": str(reason), "unscorable": str(reason)}


def _no_pair(reason: str) -> UnscorableError:
    return UnscorableError(reason, reason=reason)


def row_position(feedback: Document) -> tuple[int, int]:
    """Return the row that a feedback is for, and the number of rows; 0 and 1 if it has no valid ones."""
    if "item" not in feedback:
        return 0, 1
    row, rows = feedback["item"], feedback.get("items", 1)
    is_row = type(row) is int and type(rows) is int and 0 <= row < max(rows, 1)
    return (row, rows) if is_row else (0, 1)


def _message_position(feedback: Document) -> tuple[int, int]:
    """Return the row of a feedback within its truth and response, and the number of rows that these should have."""
    return (0, 1) if has_own_messages(feedback) else row_position(feedback)


def _responses(
    document: Document, feedback: Document, response: Stored | None = None
) -> tuple[Row | None, Row | None, str | None]:
    """Return the row of the stored response, that of the response in the feedback, and why one can't be used."""
    stored, problem = stored_row(document) if response is None else response
    embedded = None
    if problem is PairReason.REQUEST_FAILED:
        # Not even the response in the feedback is a prediction that anybody got.
        return None, None, problem
    if feedback.get("response") is not None:
        row, expected = _message_position(feedback)
        try:
            rows = _rows(feedback["response"], expected)
            if row < len(rows):
                embedded = rows[row]
        except UndecodableError:
            problem = problem or PairReason.FEEDBACK_RESPONSE_UNDECODABLE
    return stored, embedded, problem


def _truth(feedback: Document, prediction: Row | None) -> tuple[Row | None, int]:
    """Return the truth of a feedback's row, and the number of surplus rows."""
    if feedback.get("truth") is None:
        return None, 0
    row, expected = _message_position(feedback)
    try:
        rows = _rows(feedback["truth"])
    except UndecodableError:
        raise _no_pair(PairReason.TRUTH_UNDECODABLE) from None
    if expected == 1 and len(rows) > 1 and prediction is not None:
        # [0, 0, 1] for one prediction of three classes is one row, although a flat array usually is a batch.
        flat = [each.value for each in rows]
        columns = prediction.value
        if isinstance(columns, list) and len(columns) == len(flat) and not any(isinstance(v, list) for v in flat):
            return Row(flat, prediction.names), 0
    if row >= len(rows):
        raise _no_pair(PairReason.TRUTH_SHORT)
    return rows[row], max(len(rows) - expected, 0)


def _rows(message: Any, expected: int = 0) -> list[Row]:
    """Return the rows of a message; where one is expected, a flat array of numbers is this row."""
    decoded = read_flat(decode_message(message), Flat.ROW if expected == 1 else Flat.BATCH)
    names = tuple(decoded.names or ())
    return [Row(item.instance, names) for item in decoded.items]


def _row_of(value: Any, row: int) -> Any:
    if not isinstance(value, list):
        return value
    if row >= len(value):
        raise _no_pair(PairReason.REWARD_SHORT)
    return value[row]


def _reward(reward: Any, row: int, wrong: list[str]) -> float | None:
    """Return a row's reward as a number, None if it has none; append to ``wrong`` if it has one that isn't finite."""
    if isinstance(reward, list):
        reward = reward[row] if row < len(reward) else None
    if reward is None or isinstance(reward, bool):
        return None
    if not finite(reward):
        wrong.append(PairWarning.REWARD_NOT_FINITE)
        return None
    return float(reward)
