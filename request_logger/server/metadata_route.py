"""``/metadata``: the prediction schema that the logger gets for a deployment, for diagnosis."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, request

from request_logger.common.json import dumps
from request_logger.metadata.oidc import MetadataUnavailableError
from request_logger.metadata.service import Deployment
from request_logger.metadata.source import MetadataSource

_SERVING_ENGINES = {"SeldonDeployment": "seldon", "InferenceService": "inferenceservice"}

# Each request is forwarded to the service: one at a time, so that a slow service can't occupy all server threads.
_one_at_a_time = threading.Lock()


def add_routes(app: Flask, source: MetadataSource) -> None:
    """Add the route."""

    @app.route("/metadata", methods=["GET", "POST"])
    def metadata() -> Response:
        answer, status = metadata_answer(source, request.args)
        return Response(dumps(answer) + b"\n", status, mimetype="application/json")


def metadata_answer(source: MetadataSource, args: Mapping[str, str]) -> tuple[Any, int]:
    """Return the JSON answer and its status.

    ``args`` are the original's: ``serving_engine`` (SeldonDeployment, InferenceService, or as in a document),
    ``namespace``, ``name`` and ``predictor``, with its defaults. The answer is the prediction schema from the service
    or the file, null where there is none.
    """
    serving_engine = args.get("serving_engine") or "SeldonDeployment"
    deployment = Deployment(
        _SERVING_ENGINES.get(serving_engine, serving_engine),
        args.get("namespace", "seldon"),
        args.get("name", "sklearn"),
        args.get("predictor", "default"),
    )
    if not _one_at_a_time.acquire(blocking=False):
        return {"error": "another lookup is under way"}, 503
    try:
        return source.raw_schema(deployment), 200
    except MetadataUnavailableError as error:
        return {"error": str(error)}, 502
    finally:
        _one_at_a_time.release()
