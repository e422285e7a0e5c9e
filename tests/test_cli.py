"""The console script: the output of each cheap command, and one line with status 2 for errors that the user can fix."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import request_logger
from request_logger.cli import main
from request_logger.commands.registry import COMMANDS
from request_logger.scoring.registry import registered


def files(folder: Path, truth: object, response: object) -> list[str]:
    for name, value in (("truth.json", truth), ("response.json", response)):
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    return [str(folder / "truth.json"), str(folder / "response.json")]


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """The JSON objects on standard output."""
    text, found, decoder = capsys.readouterr().out.strip(), [], json.JSONDecoder()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "request_logger.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **env},
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version is the package's."""
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == f"request-logger {request_logger.__version__}"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """--help lists the commands without importing any of them."""
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    assert set(COMMANDS) <= set(text.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command's module loads and says what it takes."""
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: request-logger {name}" in capsys.readouterr().out


def test_help_is_light() -> None:
    """The script answers without loading numpy, Flask or a client of an engine."""
    code = (
        "import sys; from request_logger.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('numpy', 'flask', 'elastic_transport', 'elasticsearch', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [[], ["nothing-like-it"]])
def test_wrong_use(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """No command, or none that exists: usage and status 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: request-logger" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "eighty", "PORT: expected a whole number, found 'eighty'"),
        ("SCORER", "nonsense", "SCORER: unknown scorer 'nonsense'"),
        ("SCORERS_CONFIG", "/does/not/exist.yaml", "/does/not/exist.yaml: can't be read"),
        ("METADATA_FILE", "/does/not/exist.yaml", "METADATA_FILE: /does/not/exist.yaml: can't be read"),
        ("ELASTICSEARCH_HOST", "http://:9200", "ELASTICSEARCH_HOST: expected host, host:port or a URL"),
    ],
)
def test_serve_with_a_wrong_setting(name: str, value: str, line: str) -> None:
    """A wrong setting is one line on standard error and status 2, with no stack trace, before anything is started."""
    done = run("serve", **{name: value})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"request-logger: {line}")
    assert len(done.stderr.splitlines()) == 1


EVERY_KIND = {
    "PORT": "x",
    "GUNICORN_WORKERS": "0",
    "LOG_LEVEL": "LOUD",
    "INDEX_SHARDS": "none",
    "INDEX_NAME": "Upper",
    "SAMPLE_RATE": "nan",
    "STORE_TIMEOUT_SECONDS": "nan",
    "ELASTICSEARCH_HOST": "http://:9200",
    "ELASTICSEARCH_CA_CERT": "/does/not/exist.pem",
    "SCORER": "nonsense",
    "SCORERS_CONFIG": "/does/not/exist-scorers.yaml",
    "METADATA_FILE": "/does/not/exist.yaml",
    "DEPLOY_API_HOST": "ftp://deploy",
    "READ_USER": "a:b",
    "ALLOWED_NAMESPACES": ",",
    "REDACT": "hash:email,keep:name",
    "REDACT_KEY": "short",
}
NAMES = {**{name: name for name in EVERY_KIND}, "SCORERS_CONFIG": "/does/not/exist-scorers.yaml"}


def reported(done: subprocess.CompletedProcess[str]) -> set[str]:
    """The names that the lines on standard error start with."""
    assert (done.returncode, done.stdout) == (2, "")
    assert all(line.startswith("request-logger: ") for line in done.stderr.splitlines())
    return {line.split(":")[1].strip() for line in done.stderr.splitlines()}


def test_serve_reports_all_invalid_settings_together() -> None:
    """One run names every invalid setting: of a wrong type, out of range, and those that only their part can check."""
    own = {"SPOOL_DIR": "/proc/no-spool", "PROMETHEUS_MULTIPROC_DIR": "/proc/no-metrics"}
    found = reported(run("serve", **EVERY_KIND, **own))
    assert found == {*NAMES.values(), *own, "READ_PASSWORD"}


def test_consume_reports_all_invalid_settings_together() -> None:
    """One run names every invalid setting, those of Kafka too."""
    found = reported(run("consume", **EVERY_KIND, KAFKA_CONFIG="no equals sign"))
    assert found == {*NAMES.values(), "READ_PASSWORD", "KAFKA_BROKERS", "KAFKA_TOPIC", "KAFKA_CONFIG"}


def test_engine_with_too_many_nodes(capsys: pytest.CaptureFixture[str]) -> None:
    """What an engine can't do is one line and status 2."""
    assert main(["engine", "--kind", "elasticsearch8", "--nodes", "3"]) == 2
    assert capsys.readouterr().err.startswith("request-logger: Elasticsearch")


def test_scorers_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    """Every registered scorer, with its options and metrics."""
    assert main(["scorers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == sorted(registered())
    assert "  option  threshold: float = 0.5" in lines
    assert not [line for line in lines if "can't be imported" in line]


def test_scorers_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """Only those that are asked for; an unknown one is a line and status 2."""
    assert main(["scorers", "regression"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("regression\n")
    assert "squared_error" in out
    assert main(["scorers", "nonsense"]) == 2
    assert "unknown scorer 'nonsense'" in capsys.readouterr().err


def test_try_scores_a_pair(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A truth and a response, as the logger would score them."""
    response = {"data": {"names": ["no", "yes", "maybe"], "ndarray": [[0.2, 0.7, 0.1]]}}
    assert main(["try", "--scorer", "multiclass", *files(tmp_path, {"data": {"ndarray": ["yes"]}}, response)]) == 0
    (metrics,) = printed(capsys)
    assert (metrics["scorer"], metrics["correct"], metrics["truth_label"]) == ("multiclass", 1, "yes")


@pytest.mark.parametrize(
    ("truth", "response", "scorer"),
    [(2, [0.1, 0.2, 0.7], "multiclass"), (1, 0.9, "binary"), (2.5, 2.0, "regression"), ("yes", "no", "multiclass")],
)
def test_try_takes_bare_values(
    truth: object, response: object, scorer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values without a message around them are one row; the scorer is chosen by their shapes."""
    assert main(["try", *files(tmp_path, truth, response)]) == 0
    (metrics,) = printed(capsys)
    assert metrics["scorer"] == scorer


def test_try_takes_a_feedback_and_a_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole feedback instead of a truth; a batch gives one result a row."""
    feedback = {"reward": [1, 0], "truth": {"data": {"ndarray": [2, 0]}}}
    response = {"data": {"ndarray": [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]]}}
    assert main(["try", *files(tmp_path, feedback, response)]) == 0
    assert [(row["reward"], row["correct"]) for row in printed(capsys)] == [(1.0, 1), (0.0, 0)]


def test_try_says_why_a_pair_cannot_be_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is in the output, the status is 1."""
    assert main(["try", "--scorer", "regression", *files(tmp_path, "many", 2.0)]) == 1
    (metrics,) = printed(capsys)
    assert "not a number" in str(metrics["error"])


def test_try_without_files_or_with_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that isn't there or is no JSON is one line and status 2."""
    truth, response = files(tmp_path, 1, 1)
    assert main(["try", truth, str(tmp_path / "absent.json")]) == 2
    assert "absent.json: can't be read" in capsys.readouterr().err
    Path(response).write_text("{", encoding="utf-8")
    assert main(["try", truth, response]) == 2
    assert "is not JSON" in capsys.readouterr().err


def test_output_may_be_cut_off() -> None:
    """`request-logger settings | head -1` ends quietly."""
    command = f"{sys.executable} -m request_logger.cli settings | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout, done.stderr) == ("# Settings\n", "")
