"""Converts bodies that aren't predictions (feedback, outlier and drift messages) to the content of their parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from request_logger.payloads import UndecodableError, parse_body

Content = dict[str, Any]


def feedback_content(raw: bytes, content_type: str | None) -> Content:
    """Return a feedback body unchanged, except that the reward is converted by `numeric_reward`.

    Raises UndecodableError if the body isn't a JSON object.
    """
    content = _json_object(raw, content_type, "a feedback message")
    if "reward" in content:
        content["reward"] = numeric_reward(content["reward"])
    return content


def numeric_reward(reward: Any) -> Any:
    """Return a reward (number, true, false, "0.5", or a list of these per row) as a number; others unchanged."""
    if isinstance(reward, bool):
        return int(reward)
    if isinstance(reward, str):
        try:
            number = float(reward)
        except ValueError:
            return reward
        return number if math.isfinite(number) else reward
    if isinstance(reward, list):
        return [numeric_reward(value) for value in reward]
    return reward


def outlier_contents(raw: bytes, content_type: str | None) -> list[Content]:
    """Split an outlier message by item: is_outlier, feature_score and instance_score have one entry per item.

    Raises UndecodableError if the body isn't a JSON object.
    """
    body = _json_object(raw, content_type, "an outlier message")
    data = body.get("data")
    flags = data.get("is_outlier") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(flags, list) or not flags:
        return [body]
    contents: list[Content] = []
    for row in range(len(flags)):
        mine = {
            name: value[row]
            if name in ("is_outlier", "feature_score", "instance_score")
            and isinstance(value, list)
            and len(value) == len(flags)
            else value
            for name, value in data.items()
        }
        contents.append({**body, "data": mine})
    return contents


def drift_content(raw: bytes, content_type: str | None, by_feature: Callable[[list[Any]], Content]) -> Content:
    """Return a drift message with its type (batch or feature); if by feature, with its lists as objects by name.

    ``by_feature`` names the values of a list (see metadata.Schema.by_feature). Raises UndecodableError if the body
    isn't a JSON object.
    """
    body = _json_object(raw, content_type, "a drift message")
    data = body.get("data")
    if not isinstance(data, dict):
        return body
    data = dict(data)
    is_by_feature = any(isinstance(data.get(name), list) for name in ("distance", "p_val", "is_drift"))
    flag = data.get("is_drift")
    if isinstance(flag, list):
        data["feature_is_drift"] = by_feature([bool(value) for value in flag])
        data["is_drift"] = any(flag)
    elif "is_drift" in data and (isinstance(flag, (bool, int, float)) or not flag):
        data["is_drift"] = bool(flag)
    if is_by_feature:
        for name in ("distance", "p_val"):
            if isinstance(data.get(name), list):
                data[f"feature_{name}"] = by_feature(data.pop(name))
    data["drift_type"] = "feature" if is_by_feature else "batch"
    return {**body, "data": data}


def _json_object(raw: bytes, content_type: str | None, what: str) -> Content:
    body = parse_body(raw, content_type)
    if not isinstance(body, dict):
        raise UndecodableError(f"expected {what}, a JSON object, found {type(body).__name__}")
    return dict(body)
