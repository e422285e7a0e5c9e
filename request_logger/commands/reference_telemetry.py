"""The page about the program's metrics, made from their definitions: docs/telemetry.md."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from request_logger.telemetry_definitions import KAFKA, SERVER
from request_logger.telemetry_types import Definition

_HEAD = """\
# Telemetry

Made by `request-logger reference telemetry` (`make docs` writes it anew) from
`request_logger/telemetry_definitions.py`.

`GET /metrics` answers in Prometheus' format, summed over the worker processes. These are figures about the program;
how good the models are is in the documents' `metrics`, in the engine. Counters end in `_total` in the answer.
`flask_http_*` are those of prometheus-flask-exporter, by route.

## Metrics
"""

_KAFKA = """\
## Metrics of the Kafka consumer

`request-logger consume` ([kafka.md](kafka.md)) has these in addition.
"""

_LABELS = """\
## Label values
"""

_TAIL = """\
## Health

`GET /healthz` is 200 while the process serves and its writer works, else 503; it says nothing of the engine. `GET
/readyz` is 503, with one line why, while the engine does not answer; the process stays up and recovers by itself.

At SIGTERM `/readyz` is 503 for STOP_DELAY_SECONDS while events are still accepted, so that the load balancer can
learn of it. Then the port is closed, requests under way are finished (30 s at most, of which an event waits
STORE_TIMEOUT_SECONDS), and the process ends, also while the engine hangs: what still waits for it is spooled, or
answered 503. Nothing that was acknowledged is in memory alone at any time. Set the delay above the period of the
readiness probe, and a pod's `terminationGracePeriodSeconds` above the sum. SIGINT (Ctrl-C) skips the delay."""


def telemetry_page() -> str:
    """Return docs/telemetry.md."""
    lines = [
        _HEAD,
        *_metrics(SERVER),
        "",
        _KAFKA,
        *_metrics(KAFKA),
        "",
        _LABELS,
        *_labels((*SERVER, *KAFKA)),
        "",
        _TAIL,
    ]
    return "\n".join(lines)


def _metrics(definitions: Sequence[Definition]) -> Iterator[str]:
    yield "| metric | type | labels | unit | meaning | what to do |"
    yield "|---|---|---|---|---|---|"
    for each in definitions:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        cells = (f"`{each.name}`", each.kind, labels, each.unit, each.meaning, each.remedy)
        yield f"| {' | '.join(cells)} |"


def _labels(definitions: Sequence[Definition]) -> Iterator[str]:
    yield "| metric | label | value | meaning |"
    yield "|---|---|---|---|"
    for each in definitions:
        for label, values in each.labels.items():
            if isinstance(values, str):
                yield f"| `{each.name}` | `{label}` | | {values} |"
            else:
                for value, meaning in values.items():
                    yield f"| `{each.name}` | `{label}` | `{value}` | {meaning} |"
