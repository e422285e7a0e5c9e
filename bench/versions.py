"""Versions of the logger side by side on one engine: the code here, and an older commit taken out of the history.

Each version writes to indices that were created from its own index templates, although all share the engine. The
templates are replaced again and again, so nothing else may create indices on that engine meanwhile.
"""

from __future__ import annotations

import configparser
import contextlib
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.engines import Client
from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.errors import CommandError

Environment = Mapping[str, str]
ROOT = Path(__file__).parent.parent
AFTER, BEFORE = "after", "before"
# In all versions so far, the names of all templates start with this.
_TEMPLATES = "request-logger"
# Without -P, Python would import the code of the current directory, whatever PYTHONPATH says.
_SERVE = ("-P", "-m", "request_logger.cli", "serve")
# A busy machine makes the figures larger, but must not turn events away.
_PATIENT = {"STORE_TIMEOUT_SECONDS": "120", "ELASTICSEARCH_TIMEOUT_SECONDS": "120"}
_CONSUME = (*_SERVE[:-1], "consume")


@dataclass(frozen=True, slots=True)
class Version:
    """The code of a version: ``label`` is its column in the reports, ``commit`` says which one it is."""

    label: str
    folder: Path
    commit: str

    def environment(self, **settings: str) -> dict[str, str]:
        """Return the environment variables for a process of this version."""
        return {"PYTHONPATH": str(self.folder), **settings}


class Side:
    """A running server of a version, and its index templates."""

    def __init__(
        self, version: Version, server: LocalServer, engine: Client, templates: Mapping[str, Any], settings: Environment
    ) -> None:
        self.version = version
        self.server = server
        self._engine = engine
        self._templates = templates
        self._settings = settings

    @property
    def label(self) -> str:
        """The version's label."""
        return self.version.label

    def create(self, index: str) -> None:
        """Create an index from this version's templates, which are installed from now on."""
        self.install()
        self._engine.ask("PUT", f"/{index}")

    def install(self) -> None:
        """Install this version's templates, for indices that are created from now on."""
        install(self._engine, self._templates)

    def consumer(self, brokers: str, topic: str) -> LocalServer:
        """Start a consumer of this version; its topic must exist."""
        kafka = {"KAFKA_BROKERS": brokers, "KAFKA_TOPIC": topic, "KAFKA_GROUP_ID": topic}
        return LocalServer({**self._settings, **kafka}, python=_CONSUME, folder=self.version.folder)


@contextlib.contextmanager
def versions(before: str | None) -> Iterator[list[Version]]:
    """Yield the code here and, if a commit is given, that commit's code in a temporary folder.

    Raises CommandError if there is no such commit.
    """
    found = [Version(AFTER, ROOT, described("HEAD"))]
    with contextlib.ExitStack() as stack:
        if before:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="request-logger-before-")))
            check_out(before, folder)
            found.insert(0, Version(BEFORE, folder, described(before)))
        yield found


def check_out(commit: str, folder: Path) -> None:
    """Write the files of a commit into a folder. Raises CommandError if there is no such commit."""
    archive = _git("archive", "--format=tar", commit)
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    _declare(folder)


def _declare(folder: Path) -> None:
    """Write a folder's own metadata, so that its entry points (decoders, scorers) aren't those of the installed one."""
    config = configparser.ConfigParser()
    config.read(folder / "setup.cfg", encoding="utf-8")
    name = config["metadata"]["name"]
    metadata = folder / f"{name.replace('-', '_')}-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0\n", encoding="utf-8")
    groups = config["options.entry_points"] if config.has_section("options.entry_points") else {}
    text = "".join(f"[{group}]\n{entries.strip()}\n\n" for group, entries in groups.items())
    (metadata / "entry_points.txt").write_text(text, encoding="utf-8")


@contextlib.contextmanager
def sides(found: list[Version], url: str, *, after: Environment) -> Iterator[list[Side]]:
    """Run a server of each version; ``after`` are settings of the code here."""
    engine = Client(url)
    with contextlib.ExitStack() as stack:
        running = []
        for version in found:
            # So that each version installs its own: a version keeps templates that are newer than its own.
            remove_templates(engine)
            own = after if version.label == AFTER else {}
            environment = version.environment(**{**engine_settings(url), **_PATIENT, **own})
            server = stack.enter_context(LocalServer(environment, python=_SERVE, folder=version.folder))
            running.append(Side(version, server, engine, installed_by(version, engine, environment), environment))
        yield running


def installed_by(version: Version, engine: Client, environment: Environment) -> dict[str, Any]:
    """Let a version install its index templates, and return them by name."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "request_logger.cli", "setup"],
        env={**os.environ, **environment},
        cwd=version.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"{version.label} ({version.commit}): setup failed: {done.stderr.strip()[-500:]}")
    return templates(engine)


def templates(engine: Client) -> dict[str, Any]:
    """Return the installed index templates of the logger by name."""
    found = engine.ask("GET", "/_index_template")["index_templates"]
    return {entry["name"]: entry["index_template"] for entry in found if entry["name"].startswith(_TEMPLATES)}


def install(engine: Client, wanted: Mapping[str, Any]) -> None:
    """Install index templates."""
    for name, template in wanted.items():
        engine.ask("PUT", f"/_index_template/{name}", template)


def remove_templates(engine: Client) -> None:
    """Remove the logger's index templates."""
    for name in templates(engine):
        engine.ask("DELETE", f"/_index_template/{name}")


def described(commit: str) -> str:
    """Return a commit's short hash and subject. Raises CommandError if there is no such commit."""
    return _git("log", "-1", "--format=%h %s", commit).decode(errors="replace").strip()


def _git(*arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise CommandError("--before needs git and the history of this repository") from None
    if done.returncode:
        raise CommandError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
