"""Events of two models per scikit-learn data set, as a Seldon executor sends them: a canary of each deployment.

Each model predicts rows that it was not fit on (cross-validation). ``model-a`` sees three features, ``model-b`` all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from request_logger.demo.story import Message, event

NAMESPACE = "demo"
MODELS = ("model-a", "model-b")
COUNTRIES = ("DE", "FR", "BR")
# Of them the model sees rows whose features are disturbed: the worst slice, and a drift of the last days.
DISTURBED, DISTURBED_DAYS = "BR", 4.0
DAYS = 14.0
WITH_TRUTH = 0.8
_FEATURES = 6


@dataclass(frozen=True, slots=True)
class Prediction:
    """One prediction: what was asked and answered, where and when, and the truth, if it is known."""

    deployment: str
    model: str
    id: str
    at: datetime
    late: timedelta
    country: str
    row: tuple[float, ...]
    names: tuple[str, ...]
    answer: tuple[float, ...]
    classes: tuple[str, ...]
    truth: Any
    has_truth: bool

    @property
    def said(self) -> Any:
        """The class with the greatest probability, or the number."""
        return self.classes[int(np.argmax(self.answer))] if self.classes else self.answer[0]


def predictions(now: datetime, sets: Sequence[str] = ("iris", "wine", "breast_cancer", "diabetes")) -> list[Prediction]:
    """Return the predictions of both models for each data set, in the order of their times."""
    found = [each for name in sets for each in _of_set(name, now)]
    return sorted(found, key=lambda each: each.at)


def _of_set(name: str, now: datetime) -> Iterator[Prediction]:
    rng = np.random.default_rng(len(name))
    data = getattr(datasets, f"load_{name}")()
    classes = tuple(map(str, data.target_names)) if hasattr(data, "target_names") else ()
    names = tuple(str(each).split(" (")[0].replace(" ", "_") for each in data.feature_names)
    truths = [classes[truth] if classes else float(truth) for truth in data.target]
    for model in MODELS:
        days = np.sort(rng.uniform(0, DAYS, len(truths)))[::-1]
        order = rng.permutation(len(truths))
        countries = rng.choice(COUNTRIES, len(truths), p=(0.5, 0.3, 0.2))
        rows = data.data[order].copy()
        disturbed = (countries == DISTURBED) & (days < DISTURBED_DAYS)
        rows[disturbed] += rng.normal(3, 1, rows[disturbed].shape) * data.data.std(axis=0)
        used = 3 if model == MODELS[0] else rows.shape[1]
        kind = LogisticRegression(max_iter=1000) if classes else Ridge()
        answers = cross_val_predict(
            make_pipeline(StandardScaler(), kind),
            rows[:, :used],
            data.target[order],
            method="predict_proba" if classes else "predict",
        ).reshape(len(truths), -1)
        known = rng.random(len(truths)) < WITH_TRUTH
        late = rng.exponential(5 * 3600, len(truths))
        for k, source in enumerate(order):
            at = now - timedelta(days=float(days[k]), seconds=1)
            yield Prediction(
                name.replace("_", "-"),
                model,
                f"{name}-{model}-{k}",
                at,
                timedelta(seconds=float(late[k])),
                str(countries[k]),
                tuple(round(float(each), 4) for each in rows[k][:_FEATURES]),
                names[:_FEATURES],
                tuple(map(float, answers[k])),
                classes,
                truths[source],
                bool(known[k]) and at + timedelta(seconds=float(late[k])) < now,
            )


def messages(made: Sequence[Prediction]) -> Iterator[Message]:
    """Yield the events of predictions: requests, responses, then feedback."""
    for each in made:
        tags = {"tags": {"country": each.country}}
        yield _message("inference.request", each, each.at, {"meta": tags, "data": _data(each.names, each.row)})
        answered = each.at + timedelta(milliseconds=10)
        yield _message("inference.response", each, answered, {"meta": {}, "data": _data(each.classes, each.answer)})
    for each in made:
        if each.has_truth:
            truth = {"truth": {"data": {"ndarray": [each.truth]}}}
            yield _message("feedback", each, each.at + each.late, truth)


def _data(names: Sequence[str], row: Sequence[float]) -> dict[str, Any]:
    return {**({"names": list(names)} if names else {}), "ndarray": [list(row)]}


def _message(kind: str, each: Prediction, at: datetime, body: Any) -> Message:
    made = event(kind, each.id, each.deployment, at, json.loads(json.dumps(body)))
    own = {"Ce-Endpoint": each.model, "Ce-Modelid": each.model, "Ce-Namespace": NAMESPACE}
    return replace(made, headers=tuple((name, own.get(name, value)) for name, value in made.headers))
