"""What a template may leave out or choose is asked on trial indices; what each answer leads to. No engine."""

from __future__ import annotations

import time
from typing import Any

import pytest

from request_logger.common.join_keys import KEYS_INDEX
from request_logger.settings import Settings
from request_logger.store.indices import templates
from request_logger.store.indices.capabilities import leaner
from tests.store import garbage
from tests.store.scripted_engine import FORBIDDEN, GONE, INDEX, Answer, Scripted, as_shown
from tests.store.test_responses import error


@pytest.fixture
def engine() -> Scripted:
    return Scripted()


def numbers_of(template: Any) -> list[Any]:
    """What an installed template says of the points of numbers: fixed ones, and those of dynamic names."""
    mappings = template["template"]["mappings"]
    rules = {name: rule["mapping"] for rules in mappings["dynamic_templates"] for name, rule in rules.items()}
    fixed = mappings["properties"]["metrics"]["properties"]
    return [field.get("index") for field in (fixed["log_loss"], fixed["correct"], rules["numbers"])]


def test_numbers_have_no_points_where_the_engine_searches_without(engine: Scripted) -> None:
    """It is asked on an index that is gone afterwards, once; other fields are indexed as before."""
    assert engine.admin.prepare(INDEX)
    template = engine.templates[templates.TEMPLATE_NAME]
    assert numbers_of(template) == [False, False, False]
    assert template["template"]["mappings"]["properties"]["@timestamp"] == {"type": "date"}
    assert set(engine.mappings) == {INDEX}
    assert engine.asked("POST", "/_search") == engine.asked("PUT", "/_doc/1") == 1
    assert engine.asked("DELETE") == 2
    assert templates.is_current([as_shown(template)], templates.wanted(Settings())[templates.TEMPLATE_NAME])


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        (("POST", "_search"), (400, error("search_phase_execution_exception", 400))),
        (("POST", "_search"), GONE),
        (("POST", "_search"), FORBIDDEN),
        (("PUT", "index"), FORBIDDEN),
        (("PUT", "index"), (200, {"acknowledged": True, "shards_acknowledged": False})),
    ],
)
def test_numbers_have_points_otherwise(engine: Scripted, step: tuple[str, str], answer: Answer) -> None:
    """An engine that refuses such a search, a user who may not ask, an index without a shard to ask."""
    engine.answers[step] = answer
    engine.admin.prepare(INDEX)
    assert numbers_of(engine.templates[templates.TEMPLATE_NAME]) == [None, None, None]


def codec_of(engine: Scripted) -> Any:
    return engine.templates[templates.TEMPLATE_NAME]["template"]["settings"].get("index.codec")


def test_the_best_codec_is_chosen(engine: Scripted) -> None:
    """Where the engine stores a document with it; the trial index is deleted."""
    assert engine.admin.prepare(INDEX)
    assert codec_of(engine) == "best_compression"
    assert list(engine.mappings) == [INDEX]
    assert "index.codec" not in engine.templates[templates.DEAD_LETTER_INDEX]["template"].get("settings", {})


@pytest.mark.parametrize(
    "answer",
    [
        (503, error("unavailable_shards_exception", 503)),
        (500, error("no_such_method_error", 500)),
        (201, {"_shards": {"total": 1, "successful": 0, "failed": 1}}),
        (201, {"result": "created"}),
        FORBIDDEN,
        *((status, page) for status in (201, 502) for page in garbage.PAGES),
    ],
    ids=str,
)
def test_without_the_best_codec(engine: Scripted, answer: Answer) -> None:
    """Any failure to store a document with it means that new indices have the engine's default."""
    engine.answers["PUT", "_doc"] = answer
    assert engine.admin.prepare(INDEX)
    assert codec_of(engine) is None
    assert list(engine.mappings) == [INDEX]


def test_a_chosen_codec_is_not_tried() -> None:
    engine = Scripted(Settings(index_codec="zstd"))
    assert engine.admin.prepare(INDEX)
    assert codec_of(engine) == "zstd"
    assert not any("codec" in path for _, path in engine.sent)


def test_a_trial_index_that_stays_is_told(engine: Scripted, caplog: pytest.LogCaptureFixture) -> None:
    """An operator is told its name, and that of the other."""
    engine.answers["DELETE", "index"] = FORBIDDEN
    assert engine.admin.prepare(INDEX)
    assert len(caplog.records) == 2
    assert all("request-logger-trial-" in record.getMessage() for record in caplog.records)


DAY = 86_400


@pytest.mark.parametrize(
    ("name", "age", "hidden", "is_removed"),
    [
        ("0" * 32, 2 * DAY, "true", True),
        ("0123456789abcdef" * 2 + "-codec", 2 * DAY, "true", True),
        ("0" * 32, DAY - 60, "true", False),
        ("0" * 32, 2 * DAY, "false", False),
        ("0" * 32 + "-x", 2 * DAY, "true", False),
        ("default", 2 * DAY, "true", False),
    ],
)
def test_what_a_killed_process_left_is_deleted(
    engine: Scripted, name: str, age: int, hidden: str, is_removed: bool
) -> None:
    """A trial index of yesterday; not one that another process may use now, nor an index of somebody else."""
    index = f"inference-log-request-logger-trial-{name}"
    created = str(int((time.time() - age) * 1000))
    settings = {"index.creation_date": created, "index.hidden": hidden}
    engine.answers["GET", "_settings"] = 200, {index: {"settings": settings}, "other": {"settings": {}}}
    for number in range(2):
        assert engine.admin.prepare(f"{INDEX}-{number}")
    assert engine.asked("DELETE", f"/{index}") == is_removed
    assert engine.asked("GET", "/inference-log-request-logger-trial-*/_settings") == 1


@pytest.mark.parametrize("answer", [FORBIDDEN, *((200, page) for page in garbage.PAGES), (200, {"i": {"settings": 7}})])
def test_stale_trial_indices_that_can_not_be_listed(engine: Scripted, answer: Answer) -> None:
    """They stay; events don't wait for that."""
    engine.answers["GET", "_settings"] = answer
    assert engine.admin.prepare(INDEX)


@pytest.mark.parametrize("chosen", ["auto", "zstd"])
def test_documents_of_join_keys_have_the_same_codec(chosen: str) -> None:
    """As the other indices; a template that an earlier version installed without one is replaced."""
    settings = Settings(join_keys="request.payload.meta.puid", index_codec=chosen)
    engine = Scripted(settings)
    wanted = templates.wanted(settings)[KEYS_INDEX]
    engine.templates[KEYS_INDEX] = {name: value for name, value in wanted.items() if name != "_meta"}
    engine.templates[KEYS_INDEX]["template"] = {"settings": {}, "mappings": templates.key_mapping()}
    assert engine.admin.prepare(INDEX)
    assert engine.templates[KEYS_INDEX]["template"]["settings"]["index.codec"] == codec_of(engine)
    assert codec_of(engine) == {"auto": "best_compression", "zstd": "zstd"}[chosen]
    assert engine.templates[KEYS_INDEX]["template"]["mappings"] == templates.key_mapping()
    assert templates.is_current([as_shown(engine.templates[KEYS_INDEX])], wanted)


def test_a_template_is_made_lean_for_a_command(engine: Scripted) -> None:
    """As `setup` installs it; that of dead letters depends on nothing, so nothing is asked."""
    wanted = templates.wanted(Settings(join_keys="request.payload.meta.puid"))
    letters = wanted[templates.DEAD_LETTER_INDEX]
    assert leaner(letters, engine.request, "x") is letters
    assert engine.sent == []
    for name in (templates.TEMPLATE_NAME, KEYS_INDEX):
        lean = leaner(wanted[name], engine.request, "x")
        assert lean["template"]["settings"]["index.codec"] == "best_compression"
        assert engine.mappings == {}


def test_a_codec_that_the_engine_lacks(caplog: pytest.LogCaptureFixture) -> None:
    """The one that every engine has is used instead, and the log says so."""
    engine = Scripted(Settings(index_codec="zstd"))
    put_template = engine.put_template

    def without_zstd(path: list[str], body: Any) -> Answer:
        if body["template"].get("settings", {}).get("index.codec") == "zstd":
            return 400, error("illegal_argument_exception", 400)
        return put_template(path, body)

    engine.put_template = without_zstd  # type: ignore[method-assign]
    assert engine.admin.prepare(INDEX)
    installed = engine.templates[templates.TEMPLATE_NAME]["template"]["settings"]
    assert installed["index.codec"] == "default"
    (record,) = caplog.records
    assert "INDEX_CODEC" in record.getMessage()


@pytest.mark.parametrize(
    "changed",
    [
        {"index_codec": "best_compression"},
        {"keyword_subfields": False},
        {"index_shards": "3"},
        {"index_refresh_seconds": "30"},
        {"text_search": True},
    ],
    ids=str,
)
def test_a_changed_setting_replaces_the_template(changed: dict[str, Any]) -> None:
    """A template of this version is replaced if it is of other settings, and kept otherwise."""
    before, after = (templates.wanted(each)[templates.TEMPLATE_NAME] for each in (Settings(), Settings(**changed)))
    assert templates.is_current([as_shown(after)], after)
    assert not templates.is_current([as_shown(before)], after)
    assert templates.is_current([{**as_shown(before), "version": templates.VERSION + 1}], after)
