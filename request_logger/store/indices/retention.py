"""What an engine is told so that it removes old indices by itself: ILM of Elasticsearch, ISM of OpenSearch. Pure code.

Both remove whole indices, by how long ago they were made. So only those of a month or day (INDEX_PERIOD) get a policy,
by their names; any other is written to for as long as its model is.

Bodies: https://www.elastic.co/guide/en/elasticsearch/reference/8.19/ilm-put-lifecycle.html and
https://docs.opensearch.org/latest/im-plugin/ism/policies/
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from request_logger.common.periods import stem
from request_logger.settings import Settings
from request_logger.store.indices.templates import INDEX_PATTERNS, TEMPLATE_NAME, wanted

Body = dict[str, Any]

# Of the policy, and on Elasticsearch of the index template that attaches it.
NAME = "request-logger-retention"

# The longest period, and a day more: an event may be dated tomorrow, and make its index then.
_LONGEST = {"month": timedelta(days=32), "day": timedelta(days=2)}
# Above that of the template for all indices.
_PRIORITY = 101


def age(kept: timedelta, period: str) -> str:
    """Give the age at which an index of a ``period`` (month or day) holds nothing that is to be ``kept``, as `122d`.

    An index is made when its period begins, so its last document is younger by a period. Raises KeyError for a period
    that is none of these.
    """
    hours = (kept + _LONGEST[period]) // timedelta(hours=1)
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"


def patterns(index_name: str = "") -> list[str]:
    """Give the patterns of the indices of months and days: ``...-20<year>.<month>``, where a month is 0. or 1. .

    Engines know no other wildcard than ``*`` here.
    """
    names = [*INDEX_PATTERNS, *([stem(index_name)] if index_name else [])]
    return [f"{name}-20*.{digit}*" for name in names for digit in "01"]


def index_template(settings: Settings) -> Body:
    """Give the template of the indices of months and days: that of all indices, and the policy of Elasticsearch."""
    whole = wanted(settings)[TEMPLATE_NAME]
    inner = whole["template"]
    return {
        **whole,
        "index_patterns": patterns(settings.index_name),
        "priority": _PRIORITY,
        "template": {**inner, "settings": {**inner["settings"], "index.lifecycle.name": NAME}},
    }


def ilm_policy(min_age: str, present: Body | None = None) -> Body | None:
    """Give the body that makes the policy, or changes the ``present`` one (an engine's answer); None: it is right.

    Phases that somebody added to it stay.
    """
    phases = (present or {}).get(NAME, {}).get("policy", {}).get("phases", {})
    there = phases.get("delete", {})
    if there.get("min_age") == min_age and "delete" in there.get("actions", {}):
        return None
    actions = {**there.get("actions", {}), "delete": there.get("actions", {}).get("delete", {})}
    return {"policy": {"phases": {**phases, "delete": {"min_age": min_age, "actions": actions}}}}


def ism_policy(min_age: str, index_patterns: list[str], present: Body | None = None) -> Body | None:
    """Give the body that makes the policy, or replaces the ``present`` one (an engine's answer); None: it is right."""
    there = (present or {}).get("policy", {})
    ages = [
        transition.get("conditions", {}).get("min_index_age")
        for state in there.get("states", [])
        for transition in state.get("transitions", [])
    ]
    # A list, on Open Distro the entry itself; both take the latter.
    entries = there.get("ism_template") or []
    attached = [
        pattern
        for entry in ([entries] if isinstance(entries, dict) else entries)
        for pattern in entry["index_patterns"]
    ]
    if ages == [min_age] and sorted(attached) == sorted(index_patterns):
        return None
    kept = {"name": "kept", "actions": [], "transitions": [_after(min_age)]}
    removed: Body = {"name": "removed", "actions": [{"delete": {}}], "transitions": []}
    return {
        "policy": {
            "description": "Removes the request logger's indices of months or days when they are old.",
            "default_state": "kept",
            "states": [kept, removed],
            "ism_template": {"index_patterns": index_patterns, "priority": 100},
        }
    }


def _after(min_age: str) -> Body:
    return {"state_name": "removed", "conditions": {"min_index_age": min_age}}
