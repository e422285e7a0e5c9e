"""The console script: the output of each cheap command, and one line with status 2 for errors that the user can fix."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import request_logger
from request_logger.cli import _parse, main
from request_logger.commands.examples import EXAMPLES
from request_logger.commands.registry import COMMANDS, ENGINE_COMMANDS, GROUPS
from request_logger.scoring.registry import registered

ROOT = Path(request_logger.__file__).parent.parent


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


def test_every_command_is_in_one_group() -> None:
    """The list of commands by job is complete, and has none twice."""
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_valid(name: str) -> None:
    """Each command has examples, which its parser accepts; --help shows them."""
    assert EXAMPLES[name]
    for example in EXAMPLES[name]:
        words = shlex.split(example)
        arguments = words[words.index("request-logger") + 1 :]
        assert _parse(arguments)[0].command == name
    assert set(EXAMPLES) == set(COMMANDS)


def test_commands_that_use_an_engine_have_the_option() -> None:
    """They are those whose module asks for it."""
    folder = Path(request_logger.__file__).parent / "commands"
    found = {
        name
        for name, (module, _) in COMMANDS.items()
        if "quiet_engine(" in (folder / f"{module}.py").read_text(encoding="utf-8")
    }
    assert found == ENGINE_COMMANDS


def test_an_engine_that_does_not_answer_is_one_line() -> None:
    """Its host, and where it is set; the misspelled variable that may be the cause is named before."""
    done = run("report", "--engine", "http://127.0.0.1:9", ELASTICSEARCH_HOSTT="secret", ELASTICSEARCH_HOST="elsewhere")
    assert (done.returncode, done.stdout) == (2, "")
    warning, line = done.stderr.splitlines()
    assert warning == "request-logger: warning: ELASTICSEARCH_HOSTT is not a setting: did you mean ELASTICSEARCH_HOST?"
    assert line.startswith("request-logger: the engine does not answer: 127.0.0.1:9: ")
    assert line.endswith(" (set by --engine or ELASTICSEARCH_HOST)")


def test_settings_in_force() -> None:
    """Each setting with its value, where it is from, and no secret; misspelled ones are warned of."""
    done = run("settings", "--show", ELASTICSEARCH_PASS="geheim", SCORER="binary", LOGLEVEL="INFO")
    assert done.returncode == 0
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert rows["ELASTICSEARCH_PASS"] == ["***"]
    assert rows["SCORER"] == ["binary"]
    assert rows["ELASTICSEARCH_PORT"] == ["9200", "(default)"]
    assert "geheim" not in done.stdout
    assert done.stderr == "request-logger: warning: LOGLEVEL is not a setting: did you mean LOG_LEVEL?\n"
    wrong = run("settings", "--show", ELASTICSEARCH_PORT="x")
    assert (wrong.returncode, wrong.stderr.splitlines()) == (
        2,
        ["request-logger: ELASTICSEARCH_PORT: expected a whole number, found 'x'"],
    )


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


@pytest.mark.parametrize(
    ("truth", "response"),
    [("cat", '{"cat": 0.7, "dog": 0.3}'), ('"cat"', "cat"), ("{file}", '{"data": {"ndarray": ["cat"]}}')],
)
def test_try_takes_json_and_labels(
    truth: str, response: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Instead of files: a label, an object of class: probability; a file may hold a label without quotes."""
    (tmp_path / "truth").write_text("cat\n", encoding="utf-8")
    assert main(["try", truth.format(file=tmp_path / "truth") if "{file}" in truth else truth, response]) == 0
    (metrics,) = printed(capsys)
    assert (metrics["correct"], metrics["truth_label"], metrics["predicted_label"]) == (1, "cat", "cat")


def test_try_has_no_traceback_of_a_scorer(tmp_path: Path) -> None:
    """One line says which line of the scorer raised."""
    (tmp_path / "broken.py").write_text("class Half:\n    def score(self, truth, prediction):\n        return 1 / 0\n")
    done = run("try", "--scorer", "broken.Half", "cat", "dog", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 1
    assert json.loads(done.stdout)["unscorable"] == "scorer broken.Half raised ZeroDivisionError"
    assert done.stderr == f"scorer broken.Half raised ZeroDivisionError at {tmp_path}/broken.py:3\n"


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


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", "\\u732b"), ("latin-1", "\\u732b"), ("utf-8", "猫")])
def test_output_that_the_terminal_cannot_encode(encoding: str, shown: str) -> None:
    """A name is printed with escapes, without a traceback."""
    done = run("settings", "--show", PYTHONIOENCODING=encoding, FOLD_KEY="request.elements.猫")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"request.elements.{shown}\n" in done.stdout
