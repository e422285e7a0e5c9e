"""The bodies of retention policies, of both vendors, and when a present one is current. No engine."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from request_logger.settings import Settings
from request_logger.store.indices import retention, templates

PATTERNS = ["inference-log-*-20*.0*", "inference-log-*-20*.1*"]


@pytest.mark.parametrize(
    ("kept", "period", "age"),
    [
        (timedelta(days=90), "month", "122d"),
        (timedelta(days=7), "day", "9d"),
        (timedelta(hours=36), "day", "84h"),
    ],
)
def test_the_age_of_an_index_whose_documents_are_all_old(kept: timedelta, period: str, age: str) -> None:
    assert retention.age(kept, period) == age


@pytest.mark.parametrize("join_keys", ["", "request.payload.meta.puid"])
def test_only_indices_of_periods_are_deleted(join_keys: str) -> None:
    """Of all names that the logger writes to, with those of join keys where there are any."""
    settings = Settings(index_name="mine", join_keys=join_keys)
    found = retention.all_patterns(settings)
    assert {*PATTERNS, "mine-20*.0*"} <= set(found)
    assert ("request-logger-keys-20*.0*" in found) == bool(join_keys)
    assert all("-20*." in each for each in found)
    attached = retention.index_templates(settings)
    assert len(attached) == 1 + bool(join_keys)
    assert sorted(pattern for each in attached.values() for pattern in each["index_patterns"]) == sorted(found)
    whole = templates.wanted(settings)
    for template in attached.values():
        assert template["template"]["settings"]["index.lifecycle.name"] == retention.NAME
        assert template["priority"] > whole[templates.TEMPLATE_NAME]["priority"]


def test_a_policy_of_elasticsearch_keeps_the_phases_of_an_operator() -> None:
    """It is changed only where its age is another one, or nothing is deleted."""
    body = retention.ilm_policy("9d")
    assert body == {"policy": {"phases": {"delete": {"min_age": "9d", "actions": {"delete": {}}}}}}
    assert body is not None
    assert retention.ilm_policy("9d", {retention.NAME: body}) is None
    warm = {"min_age": "1d", "actions": {"forcemerge": {"max_num_segments": 1}}}
    body["policy"]["phases"]["warm"] = warm
    changed = retention.ilm_policy("10d", {retention.NAME: body})
    assert changed == {
        "policy": {"phases": {"warm": warm, "delete": {"min_age": "10d", "actions": {"delete": {}}}}},
    }


@pytest.mark.parametrize("is_list", [True, False])
def test_a_policy_of_opensearch_is_replaced_as_a_whole(is_list: bool) -> None:
    """OpenSearch answers with a list of patterns, Open Distro with the entry itself."""
    body: Any = retention.ism_policy("9d", PATTERNS)
    assert body["policy"]["states"][0]["transitions"][0]["conditions"] == {"min_index_age": "9d"}
    present = {"policy": {**body["policy"]}}
    if is_list:
        present["policy"]["ism_template"] = [body["policy"]["ism_template"]]
    assert retention.ism_policy("9d", PATTERNS[::-1], present) is None
    assert retention.ism_policy("10d", PATTERNS, present) is not None
    assert retention.ism_policy("9d", [*PATTERNS, "mine-20*.0*"], present) is not None
