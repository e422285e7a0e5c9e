"""The image and docker-compose.yaml, as far as they can be tried without Docker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from request_logger import __version__
from request_logger.commands.registry import COMMANDS
from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.settings import Settings
from tests.helpers import Server, free_port
from tests.release.dockerfile import ROOT, carry_out, healthcheck, is_sent, stages

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))
# What is there only to install something.
TOOLS = {"pip", "setuptools", "wheel", "build", "ensurepip"}
MAX_MEGABYTES = 160


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image's virtual environment is: the build stage, carried out in a folder."""
    root = tmp_path_factory.mktemp("image")
    carry_out(stages()["build"], root)
    return root / "opt" / "venv"


def test_the_default_image_is_the_logger() -> None:
    """The last stage; it and what it starts from install nothing, and run as a user by number."""
    names = list(stages())
    assert names[-1] == "logger"
    final, runtime = stages()["logger"], stages()["runtime"]
    assert final.base == "runtime"
    assert runtime.base == stages()["build"].base == "python:${PYTHON}-slim"
    for stage in (final, runtime):
        assert [line for line in stage.all("RUN") if not line.startswith("rm -rf ")] == []
    assert runtime.all("USER") == ["10001:10001"]
    assert final.all("USER") == []
    assert json.loads(runtime.all("CMD")[0])[1] in COMMANDS


def test_labels() -> None:
    """The labels of the Open Containers Initiative, with this version."""
    (labels,) = stages()["logger"].all("LABEL")
    found = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', labels))
    assert {"title", "description", "licenses", "version", "revision"} == set(found)
    assert f"VERSION={__version__}" in stages()["logger"].all("ARG")
    assert found["licenses"] == "Apache-2.0"


def test_only_what_is_needed_is_sent() -> None:
    """No test, no .git, no secret that lies about goes to the builder."""
    assert [
        name for name in ("requirements.lock", "request_logger/server/app.py", "scorers/base.py") if not is_sent(name)
    ] == []
    for name in (
        ".git/config",
        "tests/conftest.py",
        ".env",
        "request_logger/__pycache__/app.pyc",
        "k8s/base/service.yaml",
    ):
        assert not is_sent(name), name


@pytest.mark.engine
def test_the_tree_runs_and_holds_no_tools(tree: Path, engine: Any, tmp_path: Path) -> None:
    """The installed tree serves from an empty folder; nothing in it installs, tests or type checks."""
    packages = next((tree / "lib").glob("python3*/site-packages"))
    installed = {path.name.partition("-")[0].lower() for path in packages.iterdir()}
    assert installed & TOOLS == set()
    assert {"request_logger", "scorers", "numpy", "flask", "confluent_kafka"} <= installed
    assert [str(path) for path in packages.glob("**/tests/test_*.py")] == []
    size = sum(path.stat().st_size for path in tree.glob("**/*") if path.is_file() and not path.is_symlink()) / 2**20
    print(f"the installed tree is {size:.0f} MB")
    assert size < MAX_MEGABYTES
    done = subprocess.run(
        [str(tree / "bin" / "request-logger"), "--version"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split()[-1] == __version__
    program = (
        f"import sys; sys.path[:0] = [{str(packages)!r}]; from request_logger import cli; sys.exit(cli.main(['serve']))"
    )
    # Isolated: neither this folder nor this environment's packages are found.
    with LocalServer(engine_settings(engine.url), python=("-I", "-S", "-c", program)) as server:
        check(server.port, 0)


def check(port: int, status: int) -> None:
    """Run the image's health check against a port."""
    command = [sys.executable, *healthcheck()[1:]]
    done = subprocess.run(command, env={**os.environ, "PORT": str(port)}, capture_output=True, timeout=30, check=False)
    assert done.returncode == status


@pytest.mark.engine
def test_health_check(make_server: Callable[..., Server]) -> None:
    """It says yes while the server answers, with no engine, too, and no where nothing does."""
    assert healthcheck()[0] == "python"
    server = make_server("http://127.0.0.1:1", ready=False)
    check(server.port, 0)
    server.stop()
    check(free_port(), 1)


def test_compose_is_valid() -> None:
    """By the Compose Specification's schema; a misspelt key would be found."""
    schema = json.loads((ROOT / "tests" / "data" / "schemas" / "compose-spec.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft201909Validator(schema)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    wrong = {**COMPOSE, "services": {"a": {**COMPOSE["services"]["logger"], "read_onyl": True}}}
    assert list(validator.iter_errors(wrong))


def test_compose_names_what_exists() -> None:
    """Files that it mounts, stages that it builds, services that it waits for, variables, commands, versions."""
    services = COMPOSE["services"]
    for name, service in services.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        assert set(service.get("depends_on", {})) <= set(services)
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name
        if "image" in service:
            assert re.search(r":\d+\.\d+\.\d+$", service["image"])
    for name in ("logger", "traffic"):
        assert set(services[name]["environment"]) <= {field.upper() for field in Settings.__dataclass_fields__}
        assert services[name]["read_only"]
    assert services["traffic"]["build"]["target"] in stages()
    assert services["traffic"]["command"][1] in COMMANDS
    # Grafana finds the dashboard where the provider looks, and the provider has what is mounted.
    targets = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    (provider,) = [
        yaml.safe_load((ROOT / source).read_text()) for source in targets if source.endswith("provider.yaml")
    ]
    (folder,) = [str(Path(target).parent) for source, target in targets.items() if source.endswith(".json")]
    assert provider["providers"][0]["options"]["path"] == folder
