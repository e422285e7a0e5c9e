"""Runs tests on mutants, each in a forked process: tests that execute the mutated line, the quickest first.

`InProcess` tries the mutants of function bodies after one collection of all tests: the function's code object is
replaced. `fresh` tries those of code that is executed on import: the module is imported from the mutated source.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib.abc
import importlib.util
import os
import pickle
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import ModuleSpec
from itertools import accumulate
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TypeVar

import coverage
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from tests.mutation.groups import ROOT
from tests.mutation.mutants import Mutant

_T = TypeVar("_T")
# A mutant that takes this many times the CPU-bound duration of its tests, plus some seconds, runs forever.
_PATIENCE = 10
_LEAST_SECONDS = 30.0
KILLED, SURVIVED, ENDLESS, NOT_EXECUTED, ON_IMPORT = "killed", "survived", "endless", "not executed", "on import"


@dataclass(frozen=True)
class Trial:
    """A mutant of a module."""

    module: str
    path: Path
    made: Mutant


@dataclass
class Measured:
    """What a run of tests on the original modules showed.

    Attributes:
        seconds: duration of each test that passed, by its node id.
        executed: the tests that execute a line, by the module's path and the line.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    executed: dict[Path, dict[int, list[str]]] = field(default_factory=dict)

    def add(self, other: Measured) -> None:
        """Add what a run of other tests showed."""
        self.seconds |= other.seconds
        for path, lines in other.executed.items():
            mine = self.executed.setdefault(path, {})
            for line, tests in lines.items():
                mine[line] = [*mine.get(line, []), *tests]

    def tests_of(self, trial: Trial, budget: float = float("inf")) -> list[str]:
        """Return the tests that execute the mutated lines (any line of the module, where it is executed on import).

        The quickest are first; the others are left out as soon as the tests take more than ``budget`` seconds together.
        """
        lines = self.executed.get(trial.path, {})
        first, last = trial.made.lines if trial.made.function else (0, sys.maxsize)
        found = {test for line, tests in lines.items() if first <= line <= last for test in tests}
        ordered = sorted(found & self.seconds.keys(), key=self.seconds.__getitem__)
        total = accumulate(self.seconds[test] for test in ordered)
        return [
            test for number, (test, used) in enumerate(zip(ordered, total, strict=True)) if used <= budget or not number
        ]


class Cache:
    """The measurements of test files in a folder: each is valid until the file, a helper or a module changes."""

    def __init__(self, paths: Sequence[Path], folder: Path) -> None:
        self._folder = folder
        here = Path(__file__).parent
        found = (path for path in (ROOT / "tests").rglob("*.py") if path.parent != here)
        helpers = sorted(path for path in found if not path.name.startswith("test_"))
        self._common = hashlib.sha256(b"".join(path.read_bytes() for path in (*paths, *helpers))).digest()

    def read(self, file: Path) -> Measured | None:
        """Return the measurement of a test file, None if there is none that is valid."""
        with contextlib.suppress(FileNotFoundError):
            # Only this program writes to the folder.
            found: Measured = pickle.loads(self._path(file).read_bytes())
            return found
        return None

    def write(self, file: Path, measured: Measured) -> None:
        """Keep a measurement."""
        path = self._path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(measured))

    def _path(self, file: Path) -> Path:
        key = hashlib.sha256(self._common + str(file).encode() + file.read_bytes()).hexdigest()[:32]
        return self._folder / key


@dataclass
class Found:
    """The measurement, and the verdict on each trial that was tried, with its tests in order."""

    measured: Measured
    verdicts: list[tuple[str, list[str]]]


def in_child(function: Callable[[], _T], limit: float | None = None) -> _T | None:
    """Return the result of a function in a forked process without output; None if it takes more than ``limit`` seconds.

    Raises:
        ChildProcessError: the process ended without a result.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result"
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            silence = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(silence, number)
            with contextlib.suppress(BaseException):
                result.write_bytes(pickle.dumps(function()))
            os._exit(0)
        deadline = time.monotonic() + (limit or float("inf"))
        while not os.waitpid(child, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return None
            time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError):
            # Servers that a test left behind.
            os.killpg(child, signal.SIGKILL)
        if not result.exists():
            raise ChildProcessError
        found: _T = pickle.loads(result.read_bytes())
        return found


def shown(trial: Trial, verdict: str, tests: Sequence[str]) -> str:
    """Return a mutant as text: where it is, what it is, and what became of it."""
    made = trial.made
    how = verdict if verdict == NOT_EXECUTED else f"{verdict} {len(tests)} tests"
    return (
        f"{trial.path.relative_to(ROOT)}:{made.line} ({made.function or 'on import'}): {how}\n"
        f"    {made.change}\n    in  {made.statement}"
    )


def limit_of(measured: Measured, tests: Iterable[str], least: float = _LEAST_SECONDS) -> float:
    """Return the seconds after which a mutant is said to run forever."""
    return least + _PATIENCE * sum(measured.seconds[test] for test in tests)


def options(seed: int) -> list[str]:
    """Return pytest's arguments, and set up hypothesis; to be called in the process that runs pytest."""
    # A test that is slow on a busy machine has not detected anything.
    settings.register_profile("mutation", deadline=None, database=None, suppress_health_check=list(HealthCheck))
    settings.load_profile("mutation")
    return ["-q", "-m", "not engine", "-p", "no:cacheprovider", f"--hypothesis-seed={seed}", f"--rootdir={ROOT}"]


class _Generators:
    """Random generators of the tests' modules: each test starts with their first state, whichever tests ran before."""

    def __init__(self) -> None:
        modules = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "tests"]
        values = {id(value): value for module in modules for value in list(vars(module).values())}
        self._numpy = [
            (each, each.bit_generator.state) for each in values.values() if isinstance(each, np.random.Generator)
        ]
        self._python = [(each, each.getstate()) for each in values.values() if isinstance(each, random.Random)]

    def reset(self) -> None:
        for generator, state in self._numpy:
            generator.bit_generator.state = state
        for each, known in self._python:
            each.setstate(known)


def _failing(session: pytest.Session, items: Sequence[pytest.Item], generators: _Generators) -> Iterator[bool]:
    """Run tests; give of each whether it failed."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        before = session.testsfailed
        generators.reset()
        session.shouldfail = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        yield session.testsfailed > before


class InProcess:
    """pytest plugin: tries mutants with the collected tests, instead of running these once."""

    def __init__(
        self, paths: Sequence[Path], trials: Sequence[Trial], budget: float, say: Callable[[str], None]
    ) -> None:
        self._paths, self._trials, self._budget, self._say = paths, trials, budget, say
        self.cache = Cache(paths, ROOT / "build" / "mutation")
        self.least_seconds = _LEAST_SECONDS
        self.found: Found | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure the tests, then try each mutant."""
        generators = _Generators()
        items = {item.nodeid: item for item in session.items}
        files: dict[Path, list[pytest.Item]] = {}
        for item in session.items:
            files.setdefault(item.path, []).append(item)
        measured = Measured()
        started = time.monotonic()
        for file, inside in files.items():
            found = self.cache.read(file)
            if found is None:
                found = in_child(partial(self._measure, session, inside, generators))
                assert found is not None
                self.cache.write(file, found)
                self._say(f"measured {file.name}, {time.monotonic() - started:.0f} s")
            measured.add(found)
        for dropped in items.keys() - measured.seconds.keys():
            self._say(f"left out, it fails on the original: {dropped}")
        # Once for all children, which don't look for them, nor copy the objects by collecting garbage.
        functions = _functions(self._paths)
        gc.freeze()
        verdicts = []
        for number, trial in enumerate(self._trials):
            tests = measured.tests_of(trial, self._budget)
            run = partial(_run, session, generators, [items[test] for test in tests], functions[trial.path], trial)
            verdict = self._verdict(trial, run, tests, measured)
            verdicts.append((verdict, tests))
            if verdict in {SURVIVED, NOT_EXECUTED}:
                self._say(shown(trial, verdict, tests))
            if number + 1 == len(self._trials) or self._trials[number + 1].module != trial.module:
                self._say(f"tried {trial.module}, {time.monotonic() - started:.0f} s")
        self.found = Found(measured, verdicts)
        return True

    def _measure(self, session: pytest.Session, items: list[pytest.Item], generators: _Generators) -> Measured:
        watched = coverage.Coverage(data_file=None, config_file=False, include=[str(path) for path in self._paths])
        measured = Measured()
        # The module's own lines, executed on import, belong to no test.
        watched.start()
        clock = time.monotonic()
        runs = _failing(session, items, generators)
        for item in items:
            watched.switch_context(item.nodeid)
            failed = next(runs)
            if not failed:
                measured.seconds[item.nodeid] = time.monotonic() - clock
            clock = time.monotonic()
        watched.stop()
        data = watched.get_data()
        measured.executed = {path: data.contexts_by_lineno(str(path)) for path in self._paths}
        return measured

    def _verdict(self, trial: Trial, run: Callable[[], str], tests: Sequence[str], measured: Measured) -> str:
        if not trial.made.function:
            return ON_IMPORT
        if not tests:
            return NOT_EXECUTED
        try:
            return in_child(run, limit_of(measured, tests, self.least_seconds)) or ENDLESS
        except ChildProcessError:
            return KILLED


def _run(
    session: pytest.Session,
    generators: _Generators,
    items: Sequence[pytest.Item],
    functions: Sequence[FunctionType],
    trial: Trial,
) -> str:
    if not _replaced(trial, functions):
        return ON_IMPORT
    return KILLED if any(_failing(session, items, generators)) else SURVIVED


def _functions(paths: Iterable[Path]) -> dict[Path, list[FunctionType]]:
    """Return all functions that were defined in some modules, by path."""
    found: dict[str, list[FunctionType]] = {str(path): [] for path in paths}
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and each.__code__.co_filename in found:
            found[each.__code__.co_filename].append(each)
    return {Path(path): functions for path, functions in found.items()}


def _replaced(trial: Trial, functions: Iterable[FunctionType]) -> bool:
    """Replace the code of the functions of the mutated module; whether that was possible."""
    mutated = _codes(compile(trial.made.tree, str(trial.path), "exec"))
    changed = False
    for function in functions:
        code = mutated.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
        if code is None or code.co_freevars != function.__code__.co_freevars:
            return False
        changed = changed or code != function.__code__
        function.__code__ = code
    return changed


def _codes(code: CodeType) -> dict[tuple[str, int], CodeType | None]:
    """Return the code of all functions by name and line; None where two have the same."""
    found: dict[tuple[str, int], CodeType | None] = {}
    for each in code.co_consts:
        if isinstance(each, CodeType):
            key = (each.co_qualname, each.co_firstlineno)
            found[key] = None if key in found else each
            found |= {key: None if key in found else value for key, value in _codes(each).items()}
    return found


def fresh(trial: Trial, tests: Sequence[str], seed: int, limit: float) -> str:
    """Import the mutated module in a process of its own, and run ``tests`` and then the others in their files."""

    def run() -> str:
        sys.meta_path.insert(0, _Finder(trial))
        plugin = _InOrder(tests)
        files = sorted({str(ROOT / test.partition("::")[0]) for test in tests})
        code = pytest.main([*options(seed), *files], plugins=[plugin])
        return KILLED if plugin.failed or code not in {0, 5} else SURVIVED

    try:
        return in_child(run, limit) or ENDLESS
    except ChildProcessError:
        return KILLED


class _InOrder:
    """pytest plugin: runs tests in a given order until the first fails."""

    def __init__(self, tests: Sequence[str]) -> None:
        self._order = {test: number for number, test in enumerate(tests)}
        self.failed = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            self.failed = True
            return True
        items = [item for item in session.items if item.nodeid in self._order]
        items.sort(key=lambda item: self._order[item.nodeid])
        self.failed = any(_failing(session, items, _Generators()))
        return True


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from mutated source code."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._trial.module:
            return None
        return importlib.util.spec_from_file_location(fullname, self._trial.path, loader=self)

    def get_source(self, fullname: str) -> str:
        return self._trial.path.read_text(encoding="utf-8")

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._trial.made.tree, str(self._trial.path), "exec")
