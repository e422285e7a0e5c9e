"""What is released is whole, runs where the repository isn't, and says one version."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from request_logger import __version__

ROOT = Path(__file__).parent.parent.parent
# With PYTHONPATH, pip would take the repository for an installation.
OUTSIDE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-W", "error::UserWarning", "-m", "build", "--quiet", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    return {path.suffix: path for path in folder.iterdir()}


def tracked(*folders: str) -> set[str]:
    command = ["git", "ls-files", "-co", "--exclude-standard", *folders]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


def test_the_wheel_is_whole(built: dict[str, Path]) -> None:
    """All files of the packages, data too, and nothing else; its version is ours."""
    with zipfile.ZipFile(built[".whl"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == tracked("request_logger", "scorers")
    assert f"-{__version__}-" in built[".whl"].name


def test_the_sdist_is_whole(built: dict[str, Path]) -> None:
    """It holds the packages, the licence and the description."""
    with tarfile.open(built[".gz"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert tracked("request_logger", "scorers", "LICENSE", "README.md", "setup.cfg", "pyproject.toml") <= names
    assert built[".gz"].name.endswith(f"-{__version__}.tar.gz")


@pytest.mark.engine
def test_the_wheel_runs_the_demo_in_an_empty_folder(built: dict[str, Path], engine: Any, tmp_path: Path) -> None:
    """Installed into a separate environment with this one's libraries, where nothing of the repository is in reach."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    subprocess.run([*install, str(built[".whl"])], check=True, env=OUTSIDE, timeout=120)
    (packages,) = (tmp_path / "venv" / "lib").glob("python3*/site-packages")
    # A path file's folder is searched, but not its own path files: an editable installation of this package is not.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    environ = {"PATH": os.environ["PATH"], "HOME": str(empty), "ELASTICSEARCH_HOST": engine.url}
    where = [str(python), "-c", "import request_logger, scorers; print(request_logger.__file__, scorers.__file__)"]
    found = subprocess.run(where, cwd=empty, env=environ, capture_output=True, text=True, check=True).stdout.split()
    assert all(path.startswith(str(packages)) for path in found)
    done = subprocess.run(
        [str(tmp_path / "venv" / "bin" / "request-logger"), "demo", "--once"],
        cwd=empty,
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "figures agree" in done.stdout


def test_one_version() -> None:
    """Wherever our version is named, it is the one of the package; the changelog has it."""
    done = subprocess.run(
        [ROOT / ".ci" / "version", "--check", __version__], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    # No other page names one.
    script = load(ROOT / ".ci" / "version")
    pages = [ROOT / "README.md", ROOT / "Dockerfile", *(ROOT / "docs").glob("*.md"), *(ROOT / "k8s").glob("**/*.yaml")]
    naming = {str(page.relative_to(ROOT)) for page in pages if re.search(script.IMAGE, page.read_text("utf-8"))}
    assert naming
    assert naming <= set(script.PLACES)
    assert f"\n## [{__version__}] - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_new_version_is_written_everywhere(tmp_path: Path) -> None:
    """The script replaces the version in each of its places, and finds one that was left."""
    script = load(ROOT / ".ci" / "version")
    for name in script.PLACES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    script.write(tmp_path, "9.8.7")
    assert script.version(tmp_path) == "9.8.7"
    assert script.differences(tmp_path, "9.8.7") == []
    for name in script.PLACES:
        assert __version__ not in (tmp_path / name).read_text("utf-8").replace("9.8.7", ""), name
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(
        dockerfile.read_text("utf-8").replace("ARG VERSION=9.8.7", f"ARG VERSION={__version__}"), "utf-8"
    )
    (line,) = script.differences(tmp_path, "9.8.7")
    assert line == f"Dockerfile: {__version__}, 9.8.7, expected 9.8.7"


@pytest.mark.parametrize("wrong", ["1", "0.2.0rc1", "v0.2.0", "0.2.0 "])
def test_a_wrong_version_is_rejected(wrong: str) -> None:
    """In one line, and nothing is written."""
    done = subprocess.run([ROOT / ".ci" / "version", wrong], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (2, "version: error: expected a version such as 0.2.0")


def load(path: Path) -> ModuleType:
    loader = importlib.machinery.SourceFileLoader(path.name, str(path))
    spec = importlib.util.spec_from_loader(path.name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


VULNERABLE = {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}
CLEAN = {"name": "b", "version": "1", "vulns": []}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([CLEAN], 0, ["audit: 1 packages asked for, 0 known vulnerabilities"]),
        ([VULNERABLE, CLEAN], 1, ["audit: a 1: CVE-1, fixed in 2", "audit: 2 packages asked for, 1 known"]),
        ([SKIPPED, CLEAN], 0, ["audit: NOT DONE for 1 of 2", "audit: 1 packages asked for"]),
        (None, 0, ["audit: NOT DONE, the database can't be reached: ConnectionError"]),
    ],
)
def test_audit_says_what_it_could_not_ask(packages: Any, status: int, said: list[str]) -> None:
    """A finding fails, a database out of reach doesn't, and is not taken for "none found"."""
    stdout = "" if packages is None else json.dumps({"dependencies": packages})
    found, lines = load(ROOT / ".ci" / "audit").verdict(stdout, "Traceback\nConnectionError")
    assert found == status
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True))


def test_pre_commit_runs_what_ci_runs() -> None:
    """The same tools, from the same place."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = {" ".join(hook["entry"].split()[:2]) for hook in config["repos"][0]["hooks"]}
    lint = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nlint:")[1].split("\n\n")[0]
    assert {
        f".venv/bin/{line.split('/')[1].strip().removesuffix(' .').split(' --')[0]}" for line in lint.splitlines()[1:]
    } == entries
