"""Figures of language models' answers equal pandas' over the same documents."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from request_logger.analytics.report import Options, make_report
from request_logger.analytics.token_prices import TokenPrices
from request_logger.cli import main
from request_logger.settings import Settings, SettingsError
from tests.analytics.stored import engine_at, store

PRICES = "gpt-4o*=2.5/10, qwen=0.1/0.2"


@pytest.mark.parametrize(
    ("setting", "model", "cost"),
    [
        ("gpt-4o=2.5/10", "gpt-4o", 12.5), ("gpt-*=1/2 gpt-4o=9/9", "gpt-4o", 3.0), ("a=b=1/1", "a=b", 2.0),
        ("gpt-4o=2.5/10", "qwen", None), ("", "gpt-4o", None),
    ],
)  # fmt: skip
def test_the_price_of_a_model(setting: str, model: str, cost: float | None) -> None:
    """Of the first glob that matches it."""
    price = TokenPrices(setting).of(model)
    assert (None if price is None else price.cost(1_000_000, 1_000_000)) == cost


@pytest.mark.parametrize("entry", ["gpt-4o", "gpt-4o=1", "=1/2", "a=x/1", "a=1/nan", "a=-1/1"])
def test_a_wrong_price(entry: str) -> None:
    with pytest.raises(SettingsError, match=r"TOKEN_PRICES: entry 2: expected model=prompt/completion"):
        TokenPrices(f"ok=1/1 {entry}")


def made() -> pd.DataFrame:
    generator = np.random.default_rng(11)
    n = 200
    models = generator.choice(["gpt-4o-mini", "qwen", "unpriced"], n, p=[0.5, 0.4, 0.1])
    reasons = generator.choice(["stop", "length", "content_filter"], n, p=[0.8, 0.15, 0.05])
    prompts, completions = generator.integers(5, 500, n), generator.integers(1, 900, n)
    return pd.DataFrame(
        {
            "model": models,
            "finish_reason": reasons,
            "prompt_tokens": prompts,
            "completion_tokens": completions,
            "total_tokens": prompts + completions,
            "milliseconds": generator.integers(50, 950, n),
        }
    )


FRAME = made()
ELEMENTS = ["model", "finish_reason", "prompt_tokens", "completion_tokens", "total_tokens"]


@pytest.fixture(scope="module")
def index(engine: Any) -> Iterator[str]:
    name = f"t-{random.randrange(10**9)}"
    documents: list[dict[str, Any]] = [
        {
            "@timestamp": "2026-01-05T00:00:00Z",
            "RequestId": "",
            "latency_seconds": row["milliseconds"] / 1000,
            "request": {"ce-time": "2026-01-05T00:00:00.000Z", "dataType": "text"},
            "response": {
                "ce-time": f"2026-01-05T00:00:00.{row['milliseconds']:03}Z",
                "dataType": "text",
                "elements": {field: row[field] for field in ELEMENTS},
            },
        }
        for row in FRAME.to_dict("records")
    ]
    # A failed request is no answer; another model's response has none of the elements.
    failed = {**documents[0], "response": {**documents[0]["response"], "ce-statuscode": 500}}
    other = {**documents[0], "response": {"ce-time": "2026-01-05T00:00:00Z", "elements": {"setosa": 0.9}}}
    client = engine_at(engine.url)
    store(client, name, [*documents, failed, other])
    yield name
    client.request("DELETE", f"/{name}")


@pytest.mark.engine
def test_figures_equal_pandas(index: str, engine: Any) -> None:
    report = make_report(engine_at(engine.url), Settings(token_prices=PRICES), Options(target=index))
    found = report["answers"]
    parts = [(FRAME, found)]
    parts += [(FRAME[FRAME["model"] == each["model"]], each) for each in found["by_model"]]
    parts += [(FRAME[FRAME["finish_reason"] == each["finish_reason"]], each) for each in found["by_finish_reason"]]
    assert len(parts) == 7
    for frame, figures in parts:
        assert figures["n"] == len(frame)
        for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert figures["tokens"][name]["sum"] == frame[name].sum()
            assert figures["tokens"][name]["value"] == pytest.approx(frame[name].mean(), abs=1e-9)
        for name, reason in (("truncated", "length"), ("refused", "content_filter")):
            assert figures[name]["value"] == pytest.approx((frame["finish_reason"] == reason).mean(), abs=1e-9)
        assert figures["latency"]["value"] == pytest.approx(frame["milliseconds"].mean() / 1000, abs=1e-9)
        assert figures["latency"]["low"] < figures["latency"]["value"] < figures["latency"]["high"]
    prices = FRAME["model"].map({"gpt-4o-mini": 2.5, "qwen": 0.1}), FRAME["model"].map({"gpt-4o-mini": 10, "qwen": 0.2})
    costs = (FRAME["prompt_tokens"] * prices[0] + FRAME["completion_tokens"] * prices[1]) / 1e6
    assert found["cost"] == pytest.approx(costs.sum(), abs=1e-9)
    assert found["without_price"] == ["unpriced"]


@pytest.mark.engine
def test_as_text_and_page(
    index: str, reach: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setenv("TOKEN_PRICES", PRICES)
    assert main(["report", index]) == 0
    text = capsys.readouterr().out
    assert "answers of language models" in text
    assert "without a price: unpriced" in text
    assert main(["report", index, "--html", str(tmp_path / "page.html")]) == 0
    assert "By finish reason" in (tmp_path / "page.html").read_text(encoding="utf-8")
    monkeypatch.setenv("TOKEN_PRICES", "")
    capsys.readouterr()
    assert main(["report", index, "--json"]) == 0
    assert "cost" not in json.loads(capsys.readouterr().out)["answers"]
