"""`request-logger try`: score a truth and a response, as the server would, without a search engine."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from request_logger.common.json import dumps
from request_logger.documents.batches import rows_of
from request_logger.documents.document import Document
from request_logger.errors import CommandError
from request_logger.payloads import UndecodableError, decode_body, decode_message
from request_logger.payloads.messages import numeric_reward
from request_logger.scoring.rules import Chooser
from request_logger.scoring.score import score


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--scorer", default="auto", help="as in SCORER, such as multiclass or binary:threshold=0.3 (default: auto)"
    )
    parser.add_argument(
        "--scorers-config",
        metavar="FILE",
        help="as in SCORERS_CONFIG; the pair has no deployment or other names to match",
    )
    parser.add_argument(
        "truth", help="a truth, or a complete feedback: a file, JSON, or a label such as cat; - is standard input"
    )
    parser.add_argument(
        "response",
        help='the model\'s response, or one row of it such as {"cat": 0.7, "dog": 0.3}: a file, JSON, or a label',
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the `metrics` of each row as JSON. Status 1: a row can't be scored."""
    chooser = Chooser(arguments.scorer, arguments.scorers_config)
    feedback = _as_feedback(_read(arguments.truth))
    results = [score(document, chooser) for document in _documents(_read(arguments.response), feedback)]
    for metrics in results:
        print(json.dumps(metrics, indent=2))
    # A regression has a field `error` as well, which is a number.
    return int(any(metrics is None or isinstance(metrics.get("error"), str) for metrics in results))


def _read(argument: str) -> Any:
    """Return the value of an argument: of a file, of standard input, JSON, or a label that stands for itself."""
    if argument == "-":
        return _parsed(sys.stdin.read(), "standard input")
    if _is_json(argument):
        return json.loads(argument)
    try:
        text = Path(argument).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        # A path has a folder or a suffix.
        if "/" in argument or Path(argument).suffix:
            raise CommandError(f"{argument}: can't be read: {error.strerror}") from None
        return _parsed(argument, argument)
    except OSError as error:
        raise CommandError(f"{argument}: can't be read: {error.strerror}") from None
    return _parsed(text, argument)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _parsed(text: str, name: str) -> Any:
    """Return the value of a text: JSON, or one line that is a label. Raises CommandError."""
    try:
        return json.loads(text)
    except ValueError as error:
        label = text.strip()
        if not label or "\n" in label or label[0] in '{["':
            raise CommandError(f"{name}: is not JSON: {error}") from None
        return label


def _as_feedback(value: Any) -> Document:
    if isinstance(value, dict) and ("truth" in value or "reward" in value):
        return {**value, "reward": numeric_reward(value["reward"])} if "reward" in value else value
    return {"truth": value}


def _documents(response: Any, feedback: Document) -> list[Document]:
    """Return one document per row of the response, as the server would store it."""
    try:
        if _is_scores(response):
            rows = [{"instance": response}]
        elif isinstance(response, dict):
            rows = rows_of(decode_body(dumps(response), "application/json"), keep="none", size=0)
        else:
            # A bare value or one row, as in a feedback's truth.
            rows = [{"instance": item.instance} for item in decode_message(_one_row(response)).items]
    except UndecodableError as error:
        raise CommandError(f"the response can't be read: {error}") from None
    batch = len(rows)
    if batch == 1:
        return [{"response": rows[0], "feedback": feedback}]
    return [
        {"response": row, "feedback": {**feedback, "item": number, "items": batch}} for number, row in enumerate(rows)
    ]


def _is_scores(response: Any) -> bool:
    """Return whether a response is an object of class: probability, as a scorer takes it."""
    return (
        isinstance(response, dict)
        and len(response) > 1
        and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in response.values())
    )


def _one_row(value: Any) -> Any:
    """Wrap a flat list as one row: `[0.2, 0.8]` is one row, `[[0.2, 0.8], [0.9, 0.1]]` two."""
    flat = isinstance(value, list) and not any(isinstance(item, list) for item in value)
    return [value] if flat else value
