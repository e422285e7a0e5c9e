"""What the benchmark of the writer's options replaces, and its table. No engine, no server."""

from __future__ import annotations

import pytest

from bench import writer_options, writer_without
from request_logger.store.writing.bulk_sizes import BulkSizes
from request_logger.store.writing.bulk_tokens import BulkTokens
from request_logger.store.writing.create_policy import CreatePolicy

REPLACED = {
    "tokens": (BulkTokens, ["__enter__", "__exit__"]),
    "sizes": (BulkSizes, ["too_busy", "too_large", "taken"]),
    "policy": (CreatePolicy, ["is_likely"]),
}


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test replaces is restored after it."""
    monkeypatch.setenv("LINGER_MS", "100")
    for kind, names in REPLACED.values():
        for name in names:
            monkeypatch.setattr(kind, name, getattr(kind, name))


def test_without_tokens_nobody_waits_for_one() -> None:
    tokens = BulkTokens(tokens=1, patience=0.0)
    writer_without.OPTIONS["tokens"]()
    with tokens, tokens, tokens:
        pass


def test_without_sizes_a_request_stays_as_large_as_it_may_be() -> None:
    writer_without.OPTIONS["sizes"]()
    sizes = BulkSizes(1000)
    sizes.too_busy(100)
    sizes.too_large(100)
    assert sizes.max_bytes == 1000


def test_without_the_policy_a_new_document_is_created_or_read() -> None:
    assert CreatePolicy().is_likely
    writer_without.OPTIONS["policy"]()
    assert not CreatePolicy().is_likely


def test_without_linger_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is started with what is left of the options."""
    served = []
    monkeypatch.setattr(writer_without, "request_logger", lambda arguments: served.append(arguments) or 0)
    assert writer_without.main(["linger"]) == 0
    assert writer_without.os.environ["LINGER_MS"] == "0"
    assert served == [["serve"]]


def test_an_unknown_option_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """The options that there are, are named."""
    with pytest.raises(SystemExit):
        writer_options.main(["lingering"])
    assert "expected some of linger, tokens, sizes, policy" in capsys.readouterr().err
