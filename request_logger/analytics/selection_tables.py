"""The figures on the selection of feedback as tables of text, for the printed report and the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from request_logger.analytics.evaluation_tables import Table
from request_logger.analytics.formatting import interval, number, p_value, percent, words

HEADING = "selection of feedback"
# Strata that a table lists; JSON has all.
_MOST_STRATA = 20
Json = dict[str, Any]


def comes_first(section: Json) -> bool:
    """Return whether the section is to be read before the metrics: it has better figures, or doubts about those."""
    return "audit" in section or bool(section.get("test", {}).get("warning"))


def tables(section: Json) -> Iterator[Table]:
    """Yield the tables: the audit first, since it needs no assumption."""
    if "audit" in section:
        yield from _audit(section["audit"])
    if "weighted" in section:
        header = ["metric", "over the feedback", "95 % interval", "weighted", "95 % interval"]
        rows = [
            [words(each["name"]), number(each["over_feedback"]["value"]), interval(each["over_feedback"]),
             number(each["value"]), interval(each)]
            for each in section["weighted"]
        ]  # fmt: skip
        yield Table("Weighted to all predictions, by predicted label and score", header, rows)
    if "estimated" in section:
        rows = [[words(name), number(value)] for name, value in section["estimated"]["metrics"].items()]
        yield Table("What the probabilities promise", ["figure", "value"], rows)
    if section.get("strata"):
        rows = [
            [_name(each), number(each["predictions"]), number(each["with_truth"]), percent(each["share"])]
            for each in section["strata"][:_MOST_STRATA]
        ]
        yield Table("Share with a truth, by stratum", ["stratum", "predictions", "with a truth", "share"], rows)


def remarks(section: Json) -> Iterator[str]:
    """Yield what limits the figures: how many predictions they cover, warnings, bounds, why one is missing."""
    audit = section.get("audit", {})
    if audit:
        yield f"{_caption(audit)}."
    if "warning" in audit:
        yield f"Warning: {audit['warning']}."
    if "reason" in audit:
        yield f"No audited figures: {audit['reason']}."
    if "bounds" in audit:
        span = interval(audit["bounds"])
        yield f"With the audited predictions without a truth all wrong, or all correct: accuracy {span}."
    if "predictions" in section:
        yield (
            f"{section['with_truth']:,} of {section['predictions']:,} predictions have a truth"
            f" ({percent(section.get('share'))})."
        )
    if section.get("without_object"):
        yield (
            f"{section['without_object']:,} scored predictions are not among these, for want of a `prediction` object:"
            " request-logger rescore adds it where the response tells."
        )
    yield from _of_selection(section)
    yield from _of_weights(section)
    if "estimated" in section:
        found = section["estimated"]
        gap = (
            f", on which it is {number(found['calibration_gap'])} above the accuracy"
            if "calibration_gap" in found
            else ""
        )
        yield (
            "Estimated figures hold only if the probabilities are calibrated:"
            f" {found['calibrated_on']:,} truths show whether the mean probability is{gap}."
        )
    if "reason" in section:
        yield f"No figures on the selection: {section['reason']}."


def _of_selection(section: Json) -> Iterator[str]:
    if "test" in section:
        test = section["test"]
        low, high = test["lowest"], test["highest"]
        found = (
            f"the share with a truth goes from {percent(low['share'])} ({_name(low)}) to {percent(high['share'])}"
            f" ({_name(high)}); chi-squared {number(test['chi_squared'])} with {test['degrees_of_freedom']} degrees of"
            f" freedom, p {p_value(test['p_value'])}"
        )
        yield (
            f"Warning: feedback is not a random part: {found}."
            if test["warning"]
            else f"No sign of selection: {found}."
        )
    if "bounds" in section:
        yield f"With all predictions without a truth wrong, or all correct: accuracy {interval(section['bounds'])}."


def _of_weights(section: Json) -> Iterator[str]:
    if "not_weighted" in section:
        yield f"No weighted figures: {section['not_weighted']}."
    if section.get("merged"):
        yield f"Strata with under 5 truths, merged with others: {percent(section['merged'])} of the predictions."
    if section.get("cut"):
        yield (
            f"Strata whose truths would weigh over 10 times the mean, cut to that: {percent(section['cut'])} of the"
            " predictions."
        )
    if "effective_n" in section:
        yield f"The weighted truths are worth {number(round(section['effective_n']))} equally weighted ones (Kish)."


def _caption(audit: Json) -> str:
    since = f", since {audit['since'][:16].replace('T', ' ')}" if "since" in audit else ""
    return f"Audit: {audit['with_truth']:,} of {audit['selected']:,} randomly chosen predictions have a truth{since}"


def _audit(audit: Json) -> Iterator[Table]:
    rows = [
        [words(each["name"]), number(each["value"]), interval(each), number(each.get("n"))]
        for task in audit.get("tasks", [])
        for each in task.get("metrics", [])
    ]
    if "powered_accuracy" in audit:
        found = audit["powered_accuracy"]
        rows.append(["accuracy (PPI++)", number(found["value"]), interval(found), number(found["n"])])
    if rows:
        yield Table(_caption(audit), ["audited", "value", "95 % interval", "n"], rows)


def _name(stratum: Json) -> str:
    """Return a stratum's name: its label, and its range."""
    label = str(stratum.get("label", ""))
    if "label" in stratum and not label:
        return "rare labels"
    span = [number(stratum[end]) if end in stratum else "" for end in ("from", "to")]
    if span == ["", ""]:
        return label
    text = f"{span[0]} to {span[1]}" if all(span) else f"under {span[1]}" if span[1] else f"{span[0]} and over"
    return f"{label} {text}".strip()
