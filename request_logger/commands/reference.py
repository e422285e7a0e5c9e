"""`request-logger reference`: docs/commands.md, fields.md, telemetry.md and writer.md are its output."""
# ruff: noqa: T201  # printing is what a command is for

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from typing import Any

from request_logger.commands.reference_telemetry import telemetry_page
from request_logger.commands.reference_writer import writer_page
from request_logger.commands.registry import COMMANDS
from request_logger.store.indices.templates import mapping

_COMMANDS_PAGE = """\
# Commands

Made by `request-logger reference commands` (`make docs` writes it anew). Commands that speak to an engine or run the
server are configured by the environment: [settings.md](settings.md). Exit status: 0 done, 1 failed or something found,
2 wrong use, configuration or environment, with one line on standard error.
"""

_FIELDS_PAGE = """\
# Fields

Made by `request-logger reference fields` (`make docs` writes it anew): what the index template maps. Types are those of
new indices; in indices of the original a field keeps the type that it has ([check.md](check.md)). A *stored* field is
in `_source` and can't be searched. Keywords that the original had, and elements
(`request.elements.<name>`: doubles or keywords by their values), have a `.keyword` beside them. Which scorer writes
which field of `metrics` is in [scorers.md](scorers.md#fields); a scorer of your own and custom metrics add theirs.

An index takes 2,300 fields: these count 300 from the start, and 2,000 are left for names that documents bring, elements
and custom metrics (a number is one field, text is two). What doesn't fit is stored and not indexed; feedback and the
fields of the built-in scorers always fit.
"""

# By the whole path where that says more, else by the name.
_MEANINGS = {
    "@timestamp": "the request's time; of a document without one, that of the first other part",
    "RequestId": "id of the prediction; all rows of a batch have the same",
    "ServingEngine": "`seldon` or `inferenceservice`",
    "Ce-Inferenceservicename": "the deployment",
    "Ce-Endpoint": "the predictor, or `default` and `canary`",
    "Ce-Namespace": "its namespace",
    "Ce-Modelid": "the node of the graph, or the model",
    "nodes": "the parts by node, where a graph has several",
    "ce-time": "when it was sent",
    "ce-source": "by whom",
    "trace-id": "the trace in which the prediction was made",
    "elements": "its values by the names of the columns, a field each",
    "id": "id of a V2 message",
    "model_name": "the model that a V2 message names",
    "model_version": "its version",
    "signature_name": "the signature that a TensorFlow message names",
    "received-time": "when it arrived, where it has no usable `ce-time` and `@timestamp` is not its time",
    "unindexed": "as JSON text, what the index refused",
    "unindexed_reason": "what the engine said against it",
    "undecodable": "why the body could not be decoded; `payload` has it as JSON, else in base64",
    "payload_dropped.bytes": "size of a body that was not kept",
    "payload_dropped.sha256": "its SHA-256",
    "payload_dropped.item": "the row of its batch that has it",
    "payload_dropped.reason": "why it was not kept",
    "payload": "the whole body",
    "instance": "this row",
    "dataType": "`number`, `tabular`, `text`, `image` or `json`",
    "names": "names of the columns",
    "elements_unindexed": "as JSON text, the elements whose names an index can't have",
    "rows": "number of rows of the batch; absent where it is one",
    "parameters": "parameters of a V2 message",
    "outputs": "names, shapes and parameters of V2 tensors",
    "meta.metrics": "custom metrics of a Seldon message",
    "meta.routing": "which way it went through the graph",
    "meta.requestPath": "images of the nodes that it passed",
    "reward": "the reward as a number, true is 1",
    "truth": "the truth, as it came",
    "feedback.request": "the request that the feedback itself brought",
    "feedback.response": "the response that it brought",
    "feedback.metrics": "custom metrics that it brought",
    "item": "of a batch's feedback: which row",
    "items": "of how many",
    "metrics.scorer": "which scorer",
    "metrics.basis": "`truth`, or `reward` where the feedback had no truth",
    "metrics.truth_label": "the true class",
    "metrics.predicted_label": "the predicted class",
    "metrics.true_positive": "classes for which this prediction is one",
    "metrics.false_positive": "the same",
    "metrics.false_negative": "the same",
    "metrics.true_negative": "the same; for two classes only",
    "metrics.error": "prediction minus truth; of what can't be scored the reason, which is not indexed",
    "metrics.unscorable": "why it could not be scored: one of the reasons in [scorers.md](scorers.md#reasons)",
    "metrics.warning": "what is odd about the pair: one or several of those in [scorers.md](scorers.md#warnings)",
    "metrics.scored_at": "when it was scored",
    "metrics.correct": "1 or 0; `avg` is the accuracy",
    "metrics.truth_rank": "rank of the true class",
    "metrics.score_bin": "bin of the positive probability, for AUC",
    "metrics.calibration_bin": "bin of the probability, for calibration",
    "metrics.probability": "given to the predicted class",
    "metrics.truth_probability": "given to the true class",
    "metrics.positive_probability": "given to the positive class",
    "metrics.truth_positive": "1 where the truth is the positive class, else 0",
    "metrics.log_loss": "`avg` is the model's",
    "metrics.brier": "`avg` is the model's",
    "metrics.reciprocal_rank": "1 / rank of the true class; `avg` is the MRR",
    "metrics.ndcg": "of this ranking",
    "metrics.average_precision": "of this ranking",
    "metrics.precision_at_k": "of this ranking",
    "metrics.recall_at_k": "of this ranking",
    "metrics.jaccard": "intersection of the labels by their union",
    "metrics.hamming_loss": "share of wrong labels",
    "metrics.off_by": "levels between truth and prediction",
    "metrics.ranked_probability_score": "mean square distance of the cumulative probabilities",
    "metrics.prediction_squared": "for the weighted kappa",
    "metrics.truth": "the true number, or level",
    "metrics.prediction": "the predicted one",
    "metrics.truth_squared": "square of the truth, for R2",
    "metrics.truth_centered": "the truth minus the scorer's offset, for R2",
    "metrics.absolute_error": "`avg` is the MAE",
    "metrics.squared_error": "`avg` is the MSE",
    "metrics.absolute_percentage_error": "`avg` is the MAPE",
    "metrics.quantile_loss": "pinball loss",
    "metrics.exact_match": "1 where the texts are the same",
    "metrics.normalized_match": "1 where they are after normalizing",
    "metrics.token_f1": "F1 of the words of two texts",
    "metrics.edit_distance": "Levenshtein distance in characters",
    "metrics.edit_similarity": "1 minus the distance by the longer length",
    "metrics.word_errors": "Levenshtein distance in words",
    "metrics.truth_characters": "length of the true text",
    "metrics.truth_words": "the same in words",
    "metrics.series": "custom metrics with their type and tags, as JSON text",
    "metrics.reward_agrees": "whether a reward of 0 or 1 and the truth say the same",
    "metrics.response_disagrees": "whether the feedback brought another response than the one that is stored",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which page."""
    parser.add_argument("page", choices=tuple(_PAGES), help="which page to print")


def run(arguments: argparse.Namespace) -> int:
    """Print the page."""
    print(_PAGES[arguments.page]())
    return 0


def commands_page() -> str:
    """Give docs/commands.md."""
    lines = [_COMMANDS_PAGE]
    for name, (module_name, summary) in COMMANDS.items():
        parser = argparse.ArgumentParser(add_help=False)
        importlib.import_module(f"request_logger.commands.{module_name}").add_arguments(parser)
        lines += [f"## request-logger {name}", "", f"{summary[0].upper()}{summary[1:]}.", ""]
        rows = [f"| {_spelling(action)} | {_cell(_help(action))} |" for action in parser._actions]
        if rows:
            lines += ["| argument | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines).rstrip()


def _spelling(action: argparse.Action) -> str:
    value = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper())
    if not action.option_strings:
        name = action.metavar or (value if action.choices else action.dest)
        return f"`{name}`" if action.nargs not in ("?", "*") else f"`[{name}]`"
    spelled = ", ".join(action.option_strings)
    return f"`{spelled}`" if action.nargs == 0 else f"`{spelled} {value}`"


def _help(action: argparse.Action) -> str:
    text = (action.help or "") % {**vars(action), "prog": "request-logger"}
    return f"{text} (required)" if action.required and action.option_strings else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def fields_page() -> str:
    """Give docs/fields.md. Raises KeyError where a field has no meaning."""
    rows = [f"| `{path}` | {kind} | {_cell(meaning_of(path))} |" for path, kind in mapped_fields()]
    return "\n".join([_FIELDS_PAGE, "| field | type | meaning |", "|---|---|---|", *rows])


def meaning_of(path: str) -> str:
    """Say what a field is, by its path from the second step on, else by its name."""
    steps = path.split(".")
    for start in range(len(steps)):
        found = _MEANINGS.get(".".join(steps[start:]))
        if found:
            return found
    raise KeyError(f"{path}: no meaning in request_logger/commands/reference.py")


def mapped_fields() -> Iterator[tuple[str, str]]:
    """Give each field of the index template and its type."""
    yield from _fields(mapping()["properties"], "")


def _fields(properties: dict[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in properties.items():
        path = prefix + name
        if "properties" in field:
            yield from _fields(field["properties"], f"{path}.")
        elif field.get("enabled") is False or field.get("index") is False:
            yield path, "stored"
        else:
            yield path, field["type"]


_PAGES = {"commands": commands_page, "fields": fields_page, "telemetry": telemetry_page, "writer": writer_page}
