"""A document that has both a response and a feedback -> its ``metrics``.

Scoring is a pure function of what the document holds, so that whoever completes the pair, and however often, gets
the same fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from request_logger import custom_metrics
from request_logger.documents import Document, expand
from request_logger.payloads import UndecodableError, decode_message
from request_logger.times import now
from scorers.base import Row, UnscorableError

Settle = Callable[[Document], Document]


class ScorerLike(Protocol):
    """What scoring needs of a scorer."""

    @property
    def name(self) -> str:
        """The scorer's name, kept in the document."""
        ...

    def score(self, truth: Row, prediction: Row) -> dict[str, Any]:
        """Score one pair."""
        ...


class ChooserLike(Protocol):
    """What scoring needs of the choice of a scorer."""

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


def settler(chooser: ChooserLike) -> Settle:
    """Make the function that brings a joined document's ``metrics`` up to date."""

    def settle(document: Document) -> Document:
        metrics = score(document, chooser) if "feedback" in document else None
        kept = document.get("metrics")
        if metrics is None:
            return {name: value for name, value in document.items() if name != "metrics"} if kept else document
        if isinstance(kept, dict) and {**kept, "scored_at": None} == {**metrics, "scored_at": None}:
            return document
        return {**document, "metrics": {**metrics, "scored_at": now()}}

    return settle


def score(document: Document, chooser: ChooserLike) -> dict[str, Any] | None:
    """Score a document: None while its response is missing and its feedback has no metrics of its own.

    The stored response counts; the feedback's own is scored only where none is stored, and a difference between the
    two is recorded as ``response_disagrees``. What can't be scored gives ``error``, saying why, and the same as
    ``unscorable``: in regression ``error`` is a number, so that only the latter can be counted by its text.
    """
    feedback = expand(document["feedback"])
    if "undecodable" in feedback:
        return _unscorable(f"the feedback can't be read: {feedback['undecodable']}")
    row = feedback.get("item", 0)
    stored, embedded, problem = _responses(document, feedback, row)
    prediction = stored or embedded
    own, wrong = custom_metrics.of_feedback(feedback)
    # Those of a batch's feedback are about all of it: they count once, in its first row.
    metrics = dict(own) if row == 0 else {}
    says_only_metrics = own and feedback.get("truth") is None and "reward" not in feedback
    if says_only_metrics or (prediction is None and problem is None):
        return metrics or None
    reward = _reward(feedback.get("reward"), row)
    if reward is not None:
        metrics["reward"] = reward
    if stored is not None and embedded is not None and stored.value != embedded.value:
        metrics["response_disagrees"] = True
    try:
        truth, unused = _truth(feedback, row, prediction)
        if unused:
            wrong.append(f"the truth has {unused} rows more than the response")
        if prediction is None and truth is not None:
            raise UnscorableError(problem or "no response")
        if truth is None and "reward" not in feedback:
            raise UnscorableError("the feedback has neither a truth nor a reward")
        scorer = chooser.choose(*_names(document), truth, prediction)
        metrics["scorer"] = scorer.name
        metrics["basis"] = "reward" if truth is None else "truth"
        known = Row(_row_of(feedback["reward"], row)) if truth is None else truth
        metrics = custom_metrics.combine(metrics, scorer.score(known, prediction or Row(None)))
    except UnscorableError as error:
        metrics.update(_unscorable(str(error)))
    if wrong:
        metrics["warning"] = "; ".join(wrong)
    if reward in (0, 1) and "correct" in metrics:
        metrics["reward_agrees"] = bool(reward) == bool(metrics["correct"])
    return metrics


def pair(document: Document) -> tuple[Row | None, Row | None]:
    """Give the truth and the prediction that scoring compares; None where there is none, or none that can be read."""
    feedback = expand(document.get("feedback") or {})
    row = feedback.get("item", 0)
    stored, embedded, _ = _responses(document, feedback, row)
    prediction = stored or embedded
    try:
        truth, _ = _truth(feedback, row, prediction)
    except UnscorableError:
        truth = None
    return truth, prediction


def _unscorable(reason: str) -> dict[str, str]:
    return {"error": reason, "unscorable": reason}


def _names(document: Document) -> tuple[str, str, str, str]:
    """Namespace, deployment, predictor (endpoint) and model of a document."""
    values = (document.get(f"Ce-{name}") or "" for name in ("Namespace", "Inferenceservicename", "Endpoint", "Modelid"))
    namespace, deployment, predictor, model = values
    return namespace, deployment, predictor, model


def _responses(document: Document, feedback: Document, row: int) -> tuple[Row | None, Row | None, str | None]:
    """The stored response's row, the feedback's own, and why neither can be used although one is there."""
    problem = None
    stored = embedded = None
    response = document.get("response")
    if response is not None:
        response = expand(response)
        if "undecodable" in response:
            problem = f"the response can't be read: {response['undecodable']}"
        elif "payload_dropped" in response and "instance" not in response:
            problem = "the response's payload was not stored"
        elif "instance" not in response:
            problem = "the response's instance was not stored"
        else:
            stored = Row(response["instance"], tuple(response.get("names") or ()))
    if feedback.get("response") is not None:
        try:
            rows = _rows(feedback["response"])
            if row < len(rows):
                embedded = rows[row]
        except UndecodableError as error:
            problem = problem or f"the feedback's response can't be read: {error}"
    return stored, embedded, problem


def _truth(feedback: Document, row: int, prediction: Row | None) -> tuple[Row | None, int]:
    """The truth of a row, and how many more rows there are than the prediction has."""
    if feedback.get("truth") is None:
        return None, 0
    try:
        rows = _rows(feedback["truth"])
    except UndecodableError as error:
        raise UnscorableError(f"the truth can't be read: {error}") from None
    expected = feedback.get("items", 1)
    if expected == 1 and len(rows) > 1 and prediction is not None:
        # [0, 0, 1] for one prediction of three classes is one row, though a flat array is a batch elsewhere.
        flat = [each.value for each in rows]
        columns = prediction.value
        if isinstance(columns, list) and len(columns) == len(flat) and not any(isinstance(v, list) for v in flat):
            return Row(flat, prediction.names), 0
    if row >= len(rows):
        raise UnscorableError(
            f"no truth for this row: the truth has {len(rows)} rows, this is row {row + 1} of {expected}"
        )
    return rows[row], max(len(rows) - expected, 0)


def _rows(message: Any) -> list[Row]:
    decoded = decode_message(message)
    names = tuple(decoded.names or ())
    return [Row(item.instance, names) for item in decoded.items]


def _row_of(value: Any, row: int) -> Any:
    if not isinstance(value, list):
        return value
    if row >= len(value):
        raise UnscorableError(f"no reward for this row: there are {len(value)}, this is row {row + 1}")
    return value[row]


def _reward(reward: Any, row: int) -> float | None:
    if isinstance(reward, list):
        reward = reward[row] if row < len(reward) else None
    if isinstance(reward, bool) or not isinstance(reward, (int, float)) or not math.isfinite(reward):
        return None
    return float(reward)
