"""Wrong usages with their answers: each says what is wrong, where, and what to do, without a traceback or a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from request_logger.cli import main
from request_logger.scoring.registry import build
from tests.analytics.stored import document, engine_at, store

INDEX = "inference-log-seldon-test-usage-default"
SECRET = "geheim"
# Arguments and variables -> status, and a pattern of all that is printed on standard error.
WITHOUT_ENGINE: dict[str, tuple[str, dict[str, str], int, str]] = {
    "a command": ("reprot", {}, 2, r"(?s)usage: .*error: no command 'reprot': did you mean report\?\n"),
    "no command at all": ("xyzzy", {}, 2, r"(?s)usage: .*error: no command 'xyzzy'; --help lists them\n"),
    "a dead engine": (
        "report demo/iris --engine http://127.0.0.1:9",
        {},
        2,
        r"request-logger: the engine does not answer: 127\.0\.0\.1:9: .*set by --engine or ELASTICSEARCH_HOST\)\n",
    ),
    "a misspelled setting": (
        "deployments",
        {"ELASTICSEARCH_HOSTT": SECRET, "ELASTICSEARCH_HOST": "http://127.0.0.1:9"},
        2,
        r"request-logger: warning: ELASTICSEARCH_HOSTT is not a setting: did you mean ELASTICSEARCH_HOST\?\n"
        r"request-logger: the engine does not answer: .*\n",
    ),
    "several settings": (
        "settings --show",
        {"ELASTICSEARCH_PORT": "x", "SCORER": "binry", "READ_USER": "r", "REDACT": "$.[", "MARSHAL_FORMAT": "xml"},
        2,
        r"(?s)request-logger: ELASTICSEARCH_PORT: expected a whole number, found 'x'\n(?=.*SCORER)(?=.*READ_PASSWORD: )"
        r"(?=.*REDACT)(?=.*MARSHAL_FORMAT: ).*",
    ),
    "several settings of the engine": (
        "report",
        {"ELASTICSEARCH_PORT": "x", "ELASTICSEARCH_CA_CERT": "/no/such/file"},
        2,
        r"request-logger: ELASTICSEARCH_PORT: .*\nrequest-logger: ELASTICSEARCH_CA_CERT: .*\n",
    ),
    "a limit": (
        "check-quality --min accuracy",
        {},
        2,
        r"(?s)usage: .*expected metric=number or metric\[class\]=number.*",
    ),
    "a scorer": (
        "rescore --scorer binry --dry-run",
        {},
        2,
        r"request-logger: SCORER: unknown scorer 'binry': there are binary, .*\n",
    ),
}
WITH_ENGINE: dict[str, tuple[str, int, str]] = {
    "a deployment": (
        "report test/usgae",
        1,
        r"test/usgae in inference-log-\*\nNo predictions\. Did you mean test/usage\?\n",
    ),
    "a deployment of two": (
        "compare test/usage test/usgae",
        2,
        r"request-logger: no prediction is of 'test/usgae'; similar: test/usage\n",
    ),
    "a predictor": (
        "compare defualt canary --in test/usage",
        2,
        r"request-logger: no prediction has 'defualt' or 'canary' as a .* or deployment; similar: default\n",
    ),
    "a field to split by": (
        "report test/usage --by contry",
        2,
        r"request-logger: --by: expected a field .*, found 'contry'; similar: country(, \w+)*; there are also: age\n",
    ),
    "a field of no document": (
        "report inference-log-usage-nothing* --by model",
        2,
        r"request-logger: --by: expected a field .*, found 'model'; there are no documents in .*-usage-nothing\*\n",
    ),
    "a field of a condition": (
        "deployments test/usage --where contry=DE",
        2,
        r"request-logger: --where: expected a field .*, found 'contry'; similar: country.*; there are also: age\n",
    ),
    "a condition": (
        "report test/usage --where country",
        2,
        r"request-logger: --where: expected field=value, or with one of != >= <= > < as operator, found 'country'\n",
    ),
    "a date": (
        "report test/usage --from monday",
        2,
        r"request-logger: --from: expected a date such as 2026-01-02 .*, found 'monday'\n",
    ),
    "a window": (
        "report test/usage --window 2moons",
        2,
        r"request-logger: --window: expected a length such as 15m, 6h, 1d, 1w or month, found '2moons'\n",
    ),
    "too many fields": (
        "report test/usage --by age --by country --by model",
        2,
        r"request-logger: --by: expected one field or two, found 3\n",
    ),
    "a metric of a limit": (
        "check-quality --in test/usage --min acuracy=0.9",
        2,
        r"request-logger: .*no metric acuracy of the scorers binary: there are accuracy, .*\n",
    ),
}


def run(
    line: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Run a command line; return its status and what it printed."""
    # --engine sets the variables of this process.
    kept = {name: os.environ.get(name, "") for name in ("ELASTICSEARCH_HOST", "ELASTICSEARCH_CLOUD_ID")}
    for name, value in {**kept, **env}.items():
        monkeypatch.setenv(name, value)
    try:
        status = main(line.split())
    except SystemExit as ended:
        status = int(ended.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.mark.parametrize("name", WITHOUT_ENGINE)
def test_without_an_engine(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer says what is wrong; a value of a misspelled variable may be a secret."""
    line, env, status, pattern = WITHOUT_ENGINE[name]
    found, _, err = run(line, env, monkeypatch, capsys)
    assert found == status
    assert re.fullmatch(pattern, err), err
    assert "Traceback" not in err
    assert SECRET not in err


@pytest.fixture(scope="module")
def env(engine: Any) -> Iterator[dict[str, str]]:
    """The variables of a command, with one deployment stored."""
    client, scorer = engine_at(engine.url), build("binary", {})
    elements = {"country": "DE", "age": 30.0}
    store(client, INDEX, [document(scorer, 1, 0.75, deployment="usage", elements=elements) for _ in range(3)])
    parts = urlsplit(engine.url)
    yield {"ELASTICSEARCH_HOST": parts.hostname or "", "ELASTICSEARCH_PORT": str(parts.port)}
    client.request("DELETE", f"/{INDEX}")


@pytest.mark.engine
@pytest.mark.parametrize("name", WITH_ENGINE)
def test_with_an_engine(
    name: str, env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names that resemble the wrong one are suggested, and what there is is listed."""
    line, status, pattern = WITH_ENGINE[name]
    found, out, err = run(line, env, monkeypatch, capsys)
    assert found == status
    assert re.fullmatch(pattern, out if status == 1 else err), (out, err)
    assert (err if status == 1 else out) == ""


@pytest.mark.engine
@pytest.mark.parametrize(
    "line",
    [
        "slices test/usgae",
        "thresholds test/usgae",
        "drift test/usgae",
        "check-quality --in test/usgae --min accuracy=0.5",
        "export {folder}/x.csv --in test/usgae",
        "rescore --in test/usgae --dry-run --scorer binary",
    ],
)
def test_every_command_suggests_a_deployment(
    line: str,
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Its own output and status are as for any selection without predictions."""
    _, _, err = run(line.format(folder=tmp_path), env, monkeypatch, capsys)
    assert err.endswith("request-logger: no prediction is of 'test/usgae': did you mean test/usage?\n")
