"""Which metrics are exported, and from where: known without the OpenTelemetry SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Metric


@dataclass(frozen=True, slots=True)
class Exported:
    """The metrics to export: ``collect`` returns those of all processes that share the file ``lock``.

    The one that holds its lock exports.
    """

    collect: Callable[[], Iterable[Metric]]
    lock: Path | None = None
