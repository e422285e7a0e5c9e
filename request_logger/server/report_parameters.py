"""The parameters of the reading routes as options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from request_logger.analytics.compare import Comparison
from request_logger.analytics.contrasts import Form
from request_logger.analytics.deployments import ListOptions
from request_logger.analytics.errors import BadQueryError
from request_logger.analytics.report import Options
from request_logger.analytics.surface import Surface
from request_logger.analytics.thresholds.cells import Costs
from request_logger.analytics.wrong_predictions import DEFAULT_ROWS, Order
from request_logger.analytics.wrong_predictions import Options as WrongOptions

Given = Mapping[str, str]

_DOCUMENTS = ("target", "from", "to", "by_date", "mature", "where")
REPORT = ("target", "from", "to", "by", "window", "by_date", "mature", "against", "cost", "where", "metric")
LIST = ("target", "from", "to", "where")
ERRORS = (*_DOCUMENTS, "truth", "answer", "class", "scorer", "order", "after", "limit")
DOCUMENT = ("index", "id")
# A page passes the parameters of its sections on from one to the other.
PAGE = tuple(dict.fromkeys((*REPORT, *ERRORS[:-1], "section", "metric", "refresh")))
COMPARE = ("a", "b", "in", "by", "metric", "from", "to", "by_date", "mature", "where", "form", "refresh")
# Seconds between two loads of a page: below, the pages of some viewers alone keep the search engine busy.
_REFRESH = (5, 86_400)


def checked(parameters: Given, expected: Sequence[str]) -> dict[str, str]:
    """Return the values without blanks around them. Raises BadQueryError for an unknown name."""
    for name in parameters:
        if name not in expected:
            raise BadQueryError(f"expected parameters of {', '.join(expected)}, found {name!r}")
    return {name: value.strip() for name, value in parameters.items()}


def report_options(given: Given) -> Options:
    """Return the options of a report; an empty value counts as missing. Raises BadQueryError."""
    fields = [line.strip() for line in given.get("by", "").splitlines() if line.strip()]
    if len(fields) > 2:
        raise BadQueryError(f"by: expected one field or two, found {len(fields)}")
    by, across = [*fields, "", ""][:2]
    return Options(
        given.get("target", ""),
        given.get("from") or None,
        given.get("to") or None,
        by,
        given.get("window", ""),
        given.get("by_date") or "prediction",
        where=conditions(given),
        mature=_flag(given.get("mature", "")),
        against=given.get("against", ""),
        costs=Costs.of(given["cost"]) if given.get("cost") else None,
        across=across,
        metric=given.get("metric", ""),
        surface=Surface.SERVER,
    )


def list_options(given: Given) -> ListOptions:
    """Return the options of the list of deployments."""
    span = given.get("from") or None, given.get("to") or None
    return ListOptions(given.get("target", ""), *span, conditions(given), Surface.SERVER)


def wrong_options(given: Given) -> WrongOptions:
    """Return the options of a page of wrong predictions. Raises BadQueryError."""
    order, limit = given.get("order") or Order.WORST.value, given.get("limit") or str(DEFAULT_ROWS)
    if order not in list(Order):
        raise BadQueryError(f"--order: expected {' or '.join(Order)}, found {order!r}")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 9):
        raise BadQueryError(f"--limit: expected a whole number, found {limit!r}")
    return WrongOptions(
        given.get("target", ""),
        given.get("from") or None,
        given.get("to") or None,
        given.get("by_date") or "prediction",
        conditions(given),
        _flag(given.get("mature", "")),
        given.get("truth", ""),
        given.get("answer", ""),
        given.get("class", ""),
        given.get("scorer", ""),
        Order(order),
        given.get("after", ""),
        int(limit),
    )


def comparison_options(given: Given) -> Comparison:
    """Return the options of a comparison. Raises BadQueryError."""
    form = given.get("form") or Form.SEQUENTIAL.value
    if form not in list(Form):
        raise BadQueryError(f"--form: expected {' or '.join(Form)}, found {form!r}")
    return Comparison(
        given.get("a", ""),
        given.get("b", ""),
        given.get("in", ""),
        given.get("by", ""),
        given.get("metric", ""),
        given.get("from") or None,
        given.get("to") or None,
        given.get("by_date") or "prediction",
        form=Form(form),
        mature=_flag(given.get("mature", "")),
        where=conditions(given),
        surface=Surface.SERVER,
    )


def check_refresh(given: Given) -> None:
    """Raise BadQueryError where a page is to be loaded again after no number of seconds, or too few."""
    text, (least, most) = given.get("refresh", ""), _REFRESH
    if text and not (text.isascii() and text.isdecimal() and len(text) < 9 and least <= int(text) <= most):
        raise BadQueryError(f"--refresh: expected a number of seconds from {least} to {most}, found {text!r}")


def conditions(given: Given) -> tuple[str, ...]:
    """Return the conditions of ``where``, one per line."""
    return tuple(filter(None, (line.strip() for line in given.get("where", "").splitlines())))


def problem(error: BadQueryError) -> str:
    """Return the error text with the parameter's name instead of the command's option (``--by-date``)."""
    return str(error).removeprefix("--").replace("by-date", "by_date", 1)


def _flag(text: str) -> bool:
    if text not in ("", "true", "false"):
        raise BadQueryError(f"--mature: expected true or false, found {text!r}")
    return text == "true"
