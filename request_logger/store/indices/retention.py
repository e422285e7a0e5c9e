"""Policies by which search engines delete old indices: ILM of Elasticsearch, ISM of OpenSearch. Pure code.

Both delete whole indices by their age. So only indices per month or day (INDEX_PERIOD) get a policy, by their names;
any other index is written to for as long as its model is in use.

Bodies: https://www.elastic.co/guide/en/elasticsearch/reference/8.19/ilm-put-lifecycle.html and
https://docs.opensearch.org/latest/im-plugin/ism/policies/
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from request_logger.common.join_keys import KEYS_INDEX
from request_logger.common.periods import stem
from request_logger.settings import Settings
from request_logger.store.indices.templates import INDEX_PATTERNS, TEMPLATE_NAME, wanted

Body = dict[str, Any]

# The name of the policy, and on Elasticsearch of the index template that attaches it.
NAME = "request-logger-retention"

# The length of the longest period, plus a day: an event dated tomorrow creates its index today.
_LONGEST = {"month": timedelta(days=32), "day": timedelta(days=2)}
# Higher than the priority of the template for all indices.
_PRIORITY = 101


def age(kept: timedelta, period: str) -> str:
    """Return the age, such as `122d`, at which all documents of an index of a ``period`` are older than ``kept``.

    An index is created when its period (month or day) begins, so its last document is younger by a period. Raises
    KeyError for another period.
    """
    hours = (kept + _LONGEST[period]) // timedelta(hours=1)
    return f"{hours}h" if hours % 24 else f"{hours // 24}d"


def patterns(index_name: str = "") -> list[str]:
    """Return the patterns of the indices of predictions per month or day: ``...-20*.0*`` and ``...-20*.1*``.

    Search engines support no wildcard but ``*`` here; a month begins with 0 or 1.
    """
    return _with_periods([*INDEX_PATTERNS, *([stem(index_name)] if index_name else [])])


def all_patterns(settings: Settings) -> list[str]:
    """Return the patterns of all indices per month or day, with those of join keys where JOIN_KEYS is set."""
    keys = _with_periods([KEYS_INDEX]) if settings.join_keys else []
    return [*patterns(settings.index_name), *keys]


def _with_periods(names: list[str]) -> list[str]:
    return [f"{name}-20*.{digit}*" for name in names for digit in "01"]


def index_templates(settings: Settings) -> dict[str, Body]:
    """Return the templates of the indices per month or day by name, with Elasticsearch's policy attached."""
    whole = wanted(settings)
    found = {NAME: _attached(whole[TEMPLATE_NAME], patterns(settings.index_name))}
    if KEYS_INDEX in whole:
        found[f"{NAME}-keys"] = _attached(whole[KEYS_INDEX], _with_periods([KEYS_INDEX]))
    return found


def _attached(template: Body, index_patterns: list[str]) -> Body:
    inner = template["template"]
    return {
        **template,
        "index_patterns": index_patterns,
        "priority": _PRIORITY,
        "template": {**inner, "settings": {**inner["settings"], "index.lifecycle.name": NAME}},
    }


def ilm_policy(min_age: str, present: Body | None = None) -> Body | None:
    """Return the body that creates the policy or changes the ``present`` one (an answer); None if it is current.

    Phases that an operator added are kept.
    """
    phases = (present or {}).get(NAME, {}).get("policy", {}).get("phases", {})
    current = phases.get("delete", {})
    if current.get("min_age") == min_age and "delete" in current.get("actions", {}):
        return None
    actions = {**current.get("actions", {}), "delete": current.get("actions", {}).get("delete", {})}
    return {"policy": {"phases": {**phases, "delete": {"min_age": min_age, "actions": actions}}}}


def ism_policy(min_age: str, index_patterns: list[str], present: Body | None = None) -> Body | None:
    """Return the body that creates the policy or replaces the ``present`` one (an answer); None if it is current."""
    current = (present or {}).get("policy", {})
    ages = [
        transition.get("conditions", {}).get("min_index_age")
        for state in current.get("states", [])
        for transition in state.get("transitions", [])
    ]
    # A list, on Open Distro the entry itself; both accept the latter in requests.
    entries = current.get("ism_template") or []
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
