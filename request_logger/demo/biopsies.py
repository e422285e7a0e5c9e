"""The demo's second deployment: two models, biased feedback, a drift and a worst slice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from request_logger.common.chunks import chunks
from request_logger.common.times import utc_text
from request_logger.demo.story import NAMESPACE, Message
from request_logger.documents.audit import is_audited

DEPLOYMENT = "biopsies"
PREDICTIONS, DAYS, DRIFT_DAYS = 3_000, 28, 7
AUDIT_RATE = 0.3
# What users report: half of the errors, and one of twenty correct predictions.
REPORTED_WRONG, REPORTED_RIGHT = 0.5, 0.05
MODELS = ("model-a", "model-b")
CLASSES = ("benign", "malignant")
# The measures that the requests have; model-a was fit without the last.
INPUTS = ("mean texture", "mean smoothness", "mean symmetry", "mean radius")
_DRIFTING = 2
_CLINICS = ("north", "east", "south")
# Events per request: 200 bodies of some 300 bytes.
_BATCH = 500


@dataclass(frozen=True, slots=True)
class Biopsy:
    """One prediction: when, for which clinic, by which model, the measures, the probability of malignant, the truth."""

    id: str
    time: datetime
    clinic: str
    model: str
    measures: tuple[float, ...]
    probability: float
    truth: str
    feedback_time: datetime | None

    @property
    def correct(self) -> bool:
        """Whether the likelier class is the true one."""
        return CLASSES[self.probability >= 0.5] == self.truth


def make_biopsies(now: datetime) -> list[Biopsy]:
    """Fit two models on half of the 569 biopsies of scikit-learn, and let them predict requests drawn from the others.

    The requests have a little noise. Three things are simulated: the clinic in the south gets the third with the
    largest cells, whose size model-a doesn't see; in the last DRIFT_DAYS a new microscope adds a standard deviation to
    the symmetry; users report errors more often than successes, and a laboratory the truth of all predictions in the
    audit. Needs scikit-learn.
    """
    import numpy as np  # noqa: PLC0415  # slow to import
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415  # from an optional extra
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415
    from sklearn.model_selection import train_test_split  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    data = load_breast_cancer()
    columns = [list(data.feature_names).index(name) for name in INPUTS]
    measures, truths = data.data[:, columns], 1 - data.target
    seen, unseen = train_test_split(np.arange(len(truths)), test_size=0.5, stratify=truths, random_state=0)
    fitted = {
        name: make_pipeline(StandardScaler(), LogisticRegression()).fit(measures[seen, :width], truths[seen])
        for name, width in zip(MODELS, (len(INPUTS) - 1, len(INPUTS)), strict=True)
    }
    random = np.random.default_rng(0)
    drawn = random.choice(unseen, PREDICTIONS)
    spread = measures.std(axis=0)
    inputs = measures[drawn] + random.normal(size=(PREDICTIONS, len(INPUTS))) * spread / 10
    ago = np.sort(random.uniform(0, DAYS, PREDICTIONS))[::-1]
    inputs[ago < DRIFT_DAYS, _DRIFTING] += spread[_DRIFTING]
    edges = np.quantile(measures[drawn, -1], (1 / 3, 2 / 3))
    clinics = np.searchsorted(edges, measures[drawn, -1])
    served = random.integers(len(MODELS), size=PREDICTIONS)
    chances = [fitted[name].predict_proba(inputs[:, : len(INPUTS) - 1 + k])[:, 1] for k, name in enumerate(MODELS)]
    drawn_lots, delays = random.uniform(size=PREDICTIONS), random.exponential(1.0, PREDICTIONS)
    found = []
    for k in range(PREDICTIONS):
        time, number = now - timedelta(days=float(ago[k])), f"biopsy-{k}"
        probability, truth = float(chances[served[k]][k]), int(truths[drawn[k]])
        likely = REPORTED_RIGHT if (probability >= 0.5) == truth else REPORTED_WRONG
        has_feedback = drawn_lots[k] < likely or is_audited(number, AUDIT_RATE)
        after = time + timedelta(days=float(delays[k]))
        found.append(
            Biopsy(
                number,
                time,
                _CLINICS[clinics[k]],
                MODELS[served[k]],
                tuple(inputs[k].tolist()),
                probability,
                CLASSES[truth],
                after if has_feedback and after < now else None,
            )
        )
    return found


def batches_of(biopsies: Sequence[Biopsy], deployment: str) -> list[Message]:
    """Return the events of all predictions as requests in CloudEvents' batched mode."""
    events = [event for biopsy in biopsies for event in _events(biopsy, deployment)]
    return [_batch(some) for some in chunks(events, _BATCH)]


def _events(biopsy: Biopsy, deployment: str) -> Iterator[dict[str, Any]]:
    request = {"names": [*INPUTS, "clinic"], "ndarray": [[*biopsy.measures, biopsy.clinic]]}
    response = {"names": CLASSES, "ndarray": [[1 - biopsy.probability, biopsy.probability]]}
    yield _event("inference.request", biopsy, biopsy.time, deployment, {"data": request})
    yield _event("inference.response", biopsy, biopsy.time, deployment, {"data": response})
    if biopsy.feedback_time is not None:
        truth = {"truth": {"data": {"ndarray": [biopsy.truth]}}}
        yield _event("feedback", biopsy, biopsy.feedback_time, deployment, truth)


def _event(kind: str, biopsy: Biopsy, time: datetime, deployment: str, body: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{kind}-{biopsy.id}",
        "source": "http://127.0.0.1:8000/",
        "type": f"io.seldon.serving.{kind}",
        "time": utc_text(time),
        "requestid": biopsy.id,
        "namespace": NAMESPACE,
        "inferenceservicename": deployment,
        "endpoint": "default",
        "modelid": biopsy.model,
        "data": body,
    }


def _batch(events: Sequence[dict[str, Any]]) -> Message:
    raw = json.dumps(events).encode()
    headers = {
        "Host": "request-logger",
        "Content-Type": "application/cloudevents-batch+json",
        "Content-Length": str(len(raw)),
    }
    return Message(tuple(headers.items()), raw)
