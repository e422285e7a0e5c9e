"""Settings from the environment: defaults, and one report of all that is invalid."""

from __future__ import annotations

import os

import pytest

from request_logger.documents.folds import fold_of, with_fold
from request_logger.settings import Settings, SettingsError, problems_of
from request_logger.settings_rules import FOLD_ATTRIBUTES, FOLD_PARTS


@pytest.mark.parametrize(("cores", "workers"), [(1, 1), (2, 1), (3, 2), (4, 3), (64, 3)])
def test_as_many_workers_as_leave_a_core(monkeypatch: pytest.MonkeyPatch, cores: int, workers: int) -> None:
    """Of those that the process may use; unless somebody says how many."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    assert Settings.from_env({}).gunicorn_workers == workers
    assert Settings.from_env({"GUNICORN_WORKERS": "5"}).gunicorn_workers == 5


INVALID = {"PORT": "x", "GUNICORN_WORKERS": "0", "METRICS_CACHE_SECONDS": "nan", "INDEX_NAME": "Upper", "UI": "maybe"}


def test_all_invalid_variables_are_in_one_error() -> None:
    """A wrong type, a value out of range, NaN and an illegal name: one line each."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**INVALID, "LOG_LEVEL": "INFO"})
    assert {line.split(":")[0] for line in str(caught.value).splitlines()} == set(INVALID)


def test_invalid_variables_have_their_defaults() -> None:
    """What `read` returns can be used for further checks, in spite of invalid variables; valid ones are kept."""
    found, problems = Settings.read({**INVALID, "SCORER": "binary"})
    assert len(problems) == len(INVALID)
    defaults = Settings()
    assert (found.port, found.gunicorn_workers, found.index_name, found.ui) == (
        defaults.port,
        defaults.gunicorn_workers,
        defaults.index_name,
        defaults.ui,
    )
    assert found.scorer == "binary"


def test_problems_of_reports_every_failed_check() -> None:
    """The lines of each listed error are kept; any other error is not caught."""

    def fail() -> None:
        raise SettingsError("A: wrong\nB: wrong")

    def broken() -> None:
        raise KeyError("x")

    assert problems_of(fail, lambda: None, fail) == ["A: wrong", "B: wrong"] * 2
    with pytest.raises(KeyError):
        problems_of(broken)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"QUEUE": "always"},
            "QUEUE: expected SPOOL_DIR, the folder of the queue, to be set for 'always', found nothing",
        ),
        ({"QUEUE": "never"}, "QUEUE: expected fallback or always, found 'never'"),
        ({"QUEUE_DELAY_SECONDS": "-1"}, "QUEUE_DELAY_SECONDS: expected at least 0, found -1.0"),
        ({"QUEUE_DELAY_SECONDS": "inf"}, "QUEUE_DELAY_SECONDS: expected at most 60, found inf"),
        ({"QUEUE_DELAY_SECONDS": "nan"}, "QUEUE_DELAY_SECONDS: expected at least 0, found nan"),
    ],
)
def test_settings_of_the_queue(given: dict[str, str], line: str) -> None:
    """What can't be used is one line; the queue needs a folder."""
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(given)
    assert str(caught.value) == line


def test_the_queue_is_off_by_default() -> None:
    """A folder alone makes a spool for outages."""
    assert not Settings.from_env({"SPOOL_DIR": "/x"}).queues_all_events
    assert Settings.from_env({"SPOOL_DIR": "/x", "QUEUE": "always"}).queues_all_events


@pytest.mark.parametrize(
    "path", ["", "request.elements.customer", "request.metadata.x-tenant", "feedback.payload.a b.c", "Ce-Modelid"]
)
def test_fold_key(path: str) -> None:
    """A field of a part of a prediction, or one of a document's own."""
    assert Settings.from_env({"FOLD_KEY": path}).fold_key == path


@pytest.mark.parametrize("path", ["customer", "request", "request.", "request..a", "drift.payload.a", "Ce-Modelid.a"])
def test_a_fold_key_that_no_document_has(path: str) -> None:
    with pytest.raises(SettingsError, match=r"^FOLD_KEY: expected a field of request, .* found '"):
        Settings.from_env({"FOLD_KEY": path})


def test_what_a_fold_key_needs() -> None:
    """The document's own fields are those that `folds` finds; a body that isn't stored has none."""
    with pytest.raises(SettingsError, match="KEEP_PAYLOAD"):
        Settings.from_env({"FOLD_KEY": "request.payload.a", "KEEP_PAYLOAD": "none"})
    for name in FOLD_ATTRIBUTES:
        document = {"RequestId": "r", "request": {}, name: "x"}
        assert with_fold(document, name)["fold"] == fold_of("x")
    for part in FOLD_PARTS:
        assert with_fold({"RequestId": "r", part: {"a": "x"}}, f"{part}.a")["fold"] == fold_of("x")


@pytest.mark.parametrize(
    "url", ["a:secret@receiver", "http://a:se/cret@receiver", "https://receiver:port/?code=secret"]
)
def test_an_invalid_reply_url(url: str) -> None:
    """It is reported without the value, which may contain a token. A valid one may have a user."""
    with pytest.raises(SettingsError) as error:
        Settings.from_env({"REPLY_URL": url})
    assert str(error.value) == "REPLY_URL: expected a URL with http:// or https://, and a host"
    valid = "https://a:secret@receiver:8443/?code=secret"
    assert Settings.from_env({"REPLY_URL": valid}).reply_url == valid


@pytest.mark.parametrize("url", ["kibana:5601", "ftp://kibana", "http://", "http://user:secret@kibana", "http://a b"])
def test_dashboards_url(url: str) -> None:
    """It is a link in a page: http or https, and no password."""
    with pytest.raises(SettingsError) as error:
        Settings.from_env({"DASHBOARDS_URL": url})
    assert str(error.value) == "DASHBOARDS_URL: expected a URL with http:// or https://, a host, and no user"
