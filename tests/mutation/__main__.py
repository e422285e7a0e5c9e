"""`python -m tests.mutation [MODULE ...]`: which small mistakes in a module its tests don't notice.

Each mutant of a module is imported instead of it by a process of its own, which runs the tests that are listed for it
here until the first fails. A mutant that no test notices is shown: it is a test that is missing, or it means the same.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.abc
import importlib.util
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType

import pytest
from hypothesis import HealthCheck, settings

from tests.mutation.mutants import Mutant, mutant, sites

_ROOT = Path(__file__).parents[2]
# A mutant that takes so many times what the module as it is takes, and some seconds, runs for ever.
_PATIENCE = 5
_LEAST_SECONDS = 20
_KILLED, _SURVIVED, _ENDLESS = "killed", "survived", "endless"

# The tests of a module, the quickest to notice first; all without an engine.
TESTS: dict[str, tuple[str, ...]] = {
    "scorers.auto": ("scorers/test_choosing.py", "scorers/test_reasons.py"),
    "scorers.binary": ("scorers/test_directions.py", "scorers/test_binary.py", "scorers/test_reasons.py"),
    "scorers.classification": (
        "scorers/test_directions.py",
        "scorers/test_binary.py",
        "scorers/test_multiclass.py",
        "scorers/test_multilabel.py",
    ),
    "scorers.labels": ("scorers/test_multiclass.py", "scorers/test_multilabel.py", "scorers/test_binary.py"),
    "scorers.multiclass": ("scorers/test_directions.py", "scorers/test_multiclass.py",),
    "scorers.multilabel": ("scorers/test_directions.py", "scorers/test_multilabel.py",),
    "scorers.ordinal": ("scorers/test_directions.py", "scorers/test_ordinal.py",),
    "scorers.probabilities": ("scorers/test_binary.py", "scorers/test_multiclass.py", "scorers/test_multilabel.py"),
    "scorers.ranking": ("scorers/test_directions.py", "scorers/test_ranking.py",),
    "scorers.regression": ("scorers/test_directions.py", "scorers/test_regression.py",),
    "scorers.reward": ("scorers/test_directions.py", "scorers/test_reward.py",),
    "scorers.structured": ("scorers/test_binary.py", "scorers/test_multiclass.py", "scorers/test_regression.py"),
    "scorers.text": ("scorers/test_directions.py", "scorers/test_text.py",),
    "request_logger.documents.document": (
        "test_recorder.py", "test_batch_rows.py", "test_elements.py", "test_undecodable.py", "test_refused_forms.py",
    ),
    "request_logger.scoring.score": (
        "scorers/test_settle.py", "scorers/test_reasons.py", "test_recorder.py", "test_undecodable.py",
    ),
    "request_logger.scoring.rules": ("scorers/test_choosing.py",),
    "request_logger.scoring.registry": ("scorers/test_choosing.py",),
    "request_logger.scoring.custom_metrics": ("test_custom_metrics.py",),
    "request_logger.scoring.user_scorers": ("test_user_code.py",),
    "request_logger.scoring.legacy": ("scorers/test_golden_metrics.py", "test_user_code.py"),
    "request_logger.analytics.rollups": ("scorers/test_rollups.py", "scorers/test_regression.py"),
    "request_logger.analytics.intervals": ("analytics/test_intervals.py",),
    "request_logger.analytics.estimates": (
        "analytics/test_estimates.py", "analytics/test_label_averages.py", "analytics/test_differences.py",
    ),
}  # fmt: skip


@dataclass
class Result:
    """How many mutants of a module were tried, how many were noticed, and the CPU seconds that took."""

    tried: int = 0
    killed: int = 0
    seconds: float = 0.0


def main() -> int:
    """Try mutants of the modules that were named, or of all."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument(
        "modules", nargs="*", default=list(TESTS), help="modules to change; default: all that are listed"
    )
    parser.add_argument("--most", type=int, default=40, help="mutants of a module: so many by chance where it has more")
    parser.add_argument("--seed", type=int, default=1, help="of the choice, and of the tests' own random values")
    arguments = parser.parse_args()
    results = []
    for name in arguments.modules:
        result = _try(name, arguments.most, arguments.seed)
        print(f"{name:42} {result.killed:4} of {result.tried:4} killed, {result.seconds:6.0f} s of CPU", flush=True)
        results.append(result)
    print(f"{'all':42} {sum(each.killed for each in results):4} of {sum(each.tried for each in results):4} killed")
    return 0


def _try(name: str, most: int, seed: int) -> Result:
    path = _ROOT / f"{name.replace('.', '/')}.py"
    source = path.read_text(encoding="utf-8")
    found = sites(source)
    chosen = random.Random(f"{seed} {name}").sample(found, min(most, len(found)))
    result = Result()
    started = time.monotonic()
    verdict = _run(name, path, source, seed, 600)
    assert verdict == _SURVIVED, f"the tests of {name} fail as it is"
    limit = _LEAST_SECONDS + _PATIENCE * (time.monotonic() - started)
    before = _cpu_seconds()
    for site in sorted(chosen, key=lambda each: (each.node, each.variant)):
        made = mutant(source, site)
        verdict = _run(name, path, made.source, seed, limit)
        result.tried += 1
        result.killed += verdict != _SURVIVED
        if verdict == _SURVIVED:
            print(_shown(path, made), flush=True)
    result.seconds = _cpu_seconds() - before
    return result


def _shown(path: Path, made: Mutant) -> str:
    return f"{path.relative_to(_ROOT)}:{made.line}: {made.change}"


def _run(name: str, path: Path, source: str, seed: int, limit: float) -> str:
    """Run the tests of a module with another source, in a process of its own."""
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(BaseException):
            status = _test(name, path, source, seed)
        os._exit(status)
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return _KILLED if status else _SURVIVED
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return _ENDLESS


def _test(name: str, path: Path, source: str, seed: int) -> int:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    sys.meta_path.insert(0, _Finder(name, path, source))
    # A test that is slow on a busy machine has not noticed anything.
    settings.register_profile("mutation", deadline=None, database=None, suppress_health_check=list(HealthCheck))
    settings.load_profile("mutation")
    tests = [str(_ROOT / "tests" / each) for each in TESTS[name]]
    options = ["-x", "-q", "-m", "not engine", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}"]
    return int(pytest.main([*options, *tests]))


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from mutated source code."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def get_source(self, fullname: str) -> str:
        return self._source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, str(self._path), "exec")


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _preload() -> None:
    """Import what the tests need of others, once for all processes."""
    for name in ("numpy", "scipy.stats", "sklearn.metrics", "hypothesis", "orjson", "requests", "yaml"):
        importlib.import_module(name)


if __name__ == "__main__":
    _preload()
    sys.exit(main())
