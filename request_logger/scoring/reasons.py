"""The reasons why a feedback can't be scored, in addition to the scorers' own, and the warnings about scored pairs.

These are fixed texts without any content of a body, so that documents can be counted by them. docs/scorers.md lists
each of them.
"""

from __future__ import annotations

from enum import StrEnum

from request_logger.common.guard import path_of, type_name

MAX_REASON_CHARACTERS = 200
"""The limit for a scorer's own reason: see scorers.base.UnscorableError."""

# How the reasons begin that code, not a document, is at fault for.
_SCORER, _CHOICE, _SCORING = "scorer ", "the choice of a scorer raised ", "scoring raised "


class PairReason(StrEnum):
    """Why there is no pair to score."""

    FEEDBACK_UNDECODABLE = "the feedback can't be decoded: feedback.undecodable says why"
    NOTHING_SAID = "the feedback has neither a truth nor a reward"
    TRUTH_UNDECODABLE = "the truth can't be decoded to rows"
    TRUTH_SHORT = "the truth has fewer rows than the response"
    REWARD_SHORT = "the reward has fewer entries than the response has rows"
    RESPONSE_UNDECODABLE = "the response can't be decoded: response.undecodable says why"
    RESPONSE_DROPPED = "the response's payload was not stored: response.payload_dropped says why"
    RESPONSE_WITHOUT_INSTANCE = "the response has no instance"
    FEEDBACK_RESPONSE_UNDECODABLE = "the response in the feedback can't be decoded to rows"
    NO_RESPONSE = "no response is stored"
    PAYLOAD_REMOVED = "the payload was removed before the feedback: payload_removed says when"
    REQUEST_FAILED = "the request failed: response.ce-statuscode is over 399"


class PairWarning(StrEnum):
    """The texts of ``metrics.warning``; for custom metrics with the name of their field as a prefix."""

    TRUTH_LONG = "the truth has more rows than the response"
    REWARD_NOT_FINITE = "the reward is not a finite number"
    METRICS_NOT_LIST = "expected a list of metrics"
    METRICS_TOO_MANY = "only the first 100 metrics are kept"
    METRIC_WITHOUT_VALUE = "not a metric of key, type and value"
    METRIC_KIND_UNKNOWN = "a metric that is no COUNTER, GAUGE or TIMER"
    EVALUATION_UNUSABLE = "an evaluation can't be used: its reason in feedback.evaluations says why"
    EVALUATIONS_TOO_MANY = "only 100 evaluations and 20 names of a prediction are kept"
    METRIC_TOO_LONG = "a metric's key and tags have more than 8000 characters"


def raised(scorer: object, error: BaseException) -> str:
    """Return the reason for a scorer that raised an error: the scorer's class and the error's type."""
    return f"{_SCORER}{path_of(scorer)} raised {type_name(error)}"


def returned(scorer: object, found: str) -> str:
    """Return the reason for a scorer with an unusable result; ``found`` describes the result without its value."""
    return f"{_SCORER}{path_of(scorer)} returned {found}"


def chooser_raised(error: BaseException) -> str:
    """Return the reason if choosing a scorer raised an error: the error's type."""
    return f"{_CHOICE}{type_name(error)}"


def scoring_raised(error: BaseException) -> str:
    """Return the reason if this program's own code raised an error while it scored a pair: the error's type."""
    return f"{_SCORING}{type_name(error)}"


def is_code_error(reason: str) -> bool:
    """Return whether a reason says that code failed, a scorer's or this program's, and not that there is no pair."""
    return reason.startswith((_SCORER, _CHOICE, _SCORING))
