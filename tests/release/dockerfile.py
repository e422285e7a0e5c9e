"""The Dockerfile, read and carried out without Docker: as far as that proves something."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass
class Stage:
    """A stage: what it starts from, and its instructions in order."""

    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """The arguments of all instructions of a name."""
        return [arguments for instruction, arguments in self.instructions if instruction == name]


def stages() -> dict[str, Stage]:
    """The stages by name, in order."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    found: dict[str, Stage] = {}
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, arguments = line.partition(" ")
        if name == "FROM":
            base, _, alias = arguments.partition(" AS ")
            found[alias] = Stage(base)
        elif found:
            list(found.values())[-1].instructions.append((name, arguments.strip()))
    return found


def healthcheck() -> list[str]:
    """The command that says whether a container is well."""
    (arguments,) = stages()["runtime"].all("HEALTHCHECK")
    return list(json.loads(arguments.partition(" CMD ")[2]))


def is_sent(path: str) -> bool:
    """Whether .dockerignore lets a file of the repository into the build."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").split():
        pattern = line.removeprefix("!")
        parts = path.split("/")
        if pattern.startswith("**/"):
            matches = any(fnmatch.fnmatch(part, pattern[3:]) for part in parts)
        else:
            matches = any(fnmatch.fnmatch("/".join(parts[: i + 1]), pattern) for i in range(len(parts)))
        if matches:
            sent = line.startswith("!")
    return sent


def carry_out(stage: Stage, root: Path) -> None:
    """Do what a stage does, below ``root`` instead of /, with this Python: COPY and RUN."""
    for name, arguments in stage.instructions:
        if name == "COPY":
            *sources, target = arguments.split()
            for source in sources:
                _copy(source, root / target.lstrip("/"), into=target.endswith("/"))
        elif name == "RUN":
            line = re.sub(r"(?<=\s)/(opt|src)\b", f"{root}/\\1", arguments).replace(" --no-cache-dir", "")
            line = re.sub(r"^(python|pip)\b", lambda match: _TOOLS[match[1]], line)
            # With PYTHONPATH, pip would take the repository for an installation.
            environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            subprocess.run(shlex.split(line), check=True, cwd=root, env=environ, timeout=300)


_TOOLS = {"python": sys.executable, "pip": f"{sys.executable} -m pip"}


def _copy(source: str, target: Path, *, into: bool) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", source], cwd=ROOT, capture_output=True, check=True
    )
    files = [name for name in listed.stdout.decode().splitlines() if is_sent(name)]
    assert files, f"COPY {source}: no such file"
    for name in files:
        place = target / Path(name).name if into else target / Path(name).relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place)
