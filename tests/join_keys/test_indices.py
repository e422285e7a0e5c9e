"""The index of the documents of join keys: its template, its mapping, its age."""

from __future__ import annotations

import pytest

from request_logger.common.join_keys import KEYS_INDEX, is_keys_index
from request_logger.ingest.redaction import Redactor
from request_logger.settings import Settings
from request_logger.spool.record import from_bytes, to_bytes
from request_logger.store.indices import retention, templates
from tests.join_keys.events import feedback

MONTHLY = Settings(join_keys="response.id", index_period="month", index_shards="2")


def test_a_template_only_with_join_keys() -> None:
    """Without them nothing is installed."""
    assert set(templates.wanted(MONTHLY)) - set(templates.wanted(Settings())) == {KEYS_INDEX}
    template = templates.wanted(MONTHLY)[KEYS_INDEX]
    assert template["index_patterns"] == [KEYS_INDEX, f"{KEYS_INDEX}-2*"]
    assert template["template"]["settings"] == {"index.number_of_shards": 2}
    assert template["template"]["mappings"]["dynamic"] is False
    assert not set(templates.wanted(Settings())[templates.TEMPLATE_NAME]["index_patterns"]) & {f"{KEYS_INDEX}*"}


@pytest.mark.parametrize(
    ("present", "fixed", "fields"),
    [
        (templates.key_mapping(), {}, []),
        ({**templates.key_mapping(), "dynamic": "false"}, {}, []),
        ({}, {"dynamic": False}, ["@timestamp", "join_key", "index"]),
        ({"dynamic": False, "properties": {"@timestamp": {"type": "date"}}}, {}, ["join_key", "index"]),
    ],
)
def test_its_own_fields_are_added(present: templates.Mapping, fixed: templates.Mapping, fields: list[str]) -> None:
    """And none of those of predictions."""
    found = templates.additions_for(f"{KEYS_INDEX}-2026.01", present)
    assert list(found.pop("properties", {})) == fields
    assert found == fixed


def test_names() -> None:
    """With the months and days of INDEX_PERIOD."""
    names = (KEYS_INDEX, f"{KEYS_INDEX}-2026.01", f"{KEYS_INDEX}-2026.01.31", f"{KEYS_INDEX}-copy", "inference-log-a")
    assert [is_keys_index(name) for name in names] == [True, True, True, False, False]


def test_retention() -> None:
    """Both engines' policies remove old ones, where JOIN_KEYS is set."""
    mine = [f"{KEYS_INDEX}-20*.0*", f"{KEYS_INDEX}-20*.1*"]
    assert retention.all_patterns(MONTHLY)[-2:] == mine
    assert retention.all_patterns(Settings(index_period="month")) == retention.patterns()
    found = retention.index_templates(MONTHLY)[f"{retention.NAME}-keys"]
    assert found["index_patterns"] == mine
    assert found["template"]["settings"]["index.lifecycle.name"] == retention.NAME
    assert found["template"]["mappings"] == templates.key_mapping()
    assert list(retention.index_templates(Settings())) == [retention.NAME]


def test_a_key_survives_the_spool_and_redaction() -> None:
    """Replayed from disk, it is the same feedback."""
    late = feedback({"puid": "p1"})
    again = from_bytes(to_bytes(late))
    assert again == late
    assert Redactor("drop:join-key").redact(late).extensions == late.extensions
