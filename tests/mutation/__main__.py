"""`python -m tests.mutation [GROUP | MODULE ...]`: which small mistakes in a module its tests don't detect.

Each mutant is tried in a forked process, with the tests that execute the mutated line, until the first of them fails. A
mutant that no test detects is listed: a test is missing, or it is equivalent and belongs in ``equivalent.toml``.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mutation.equivalent import Equivalent, equivalents
from tests.mutation.groups import GROUPS, ROOT, Group
from tests.mutation.mutants import mutant, sites
from tests.mutation.trial import (
    NOT_EXECUTED,
    ON_IMPORT,
    SURVIVED,
    Found,
    InProcess,
    Trial,
    fresh,
    in_child,
    limit_of,
    options,
    shown,
)


@dataclass
class Score:
    """How many mutants of a module were tried and detected; equivalent ones are counted apart."""

    tried: int = 0
    killed: int = 0
    equivalent: int = 0


def main() -> int:
    """Try mutants of the groups and modules that were named, or of all."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    known = [*GROUPS, *(name for group in GROUPS.values() for name in group.modules)]
    parser.add_argument("names", nargs="*", help=f"groups ({', '.join(GROUPS)}) or modules; default: all groups")
    parser.add_argument("--most", type=int, default=40, help="mutants per module: a random sample where it has more")
    parser.add_argument("--seed", type=int, default=1, help="of the sample, and of the tests' own random values")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60,
        help="of tests per mutant, the quickest first, by their time on the original",
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(known):
        parser.error(f"no group or module is called {', '.join(sorted(unknown))}")
    total: dict[str, Score] = {}
    for name, group in GROUPS.items():
        whole = not arguments.names or name in arguments.names
        modules = {each: path for each, path in group.modules.items() if whole or each in arguments.names}
        if modules:
            total |= _try(group, modules, arguments)
    for module, score in total.items():
        print(f"{module:44} {score.killed:4} of {score.tried:4} killed, {score.equivalent:3} equivalent")
    print(
        f"{'all':44} {sum(each.killed for each in total.values()):4} of {sum(each.tried for each in total.values()):4}"
    )
    return 0


def _try(group: Group, modules: dict[str, Path], arguments: argparse.Namespace) -> dict[str, Score]:
    scores = {module: Score() for module in modules}
    trials: list[Trial] = []
    known = equivalents()
    most, seed = arguments.most, arguments.seed
    for module, path in modules.items():
        chosen, scores[module].equivalent = _chosen(module, path, most, seed, known)
        trials += chosen
    say = os.fdopen(os.dup(1), "w")

    def run() -> Found | None:
        # The same modules for all groups: so a test file is measured once.
        paths = sorted({path for each in GROUPS.values() for path in each.modules.values()})
        plugin = InProcess(paths, trials, arguments.seconds, lambda line: print(line, file=say, flush=True))
        pytest.main([*options(seed), *(str(ROOT / "tests" / test) for test in group.tests)], plugins=[plugin])
        return plugin.found

    found = in_child(run)
    if found is None:
        raise SystemExit("the tests can't be collected: run them with pytest to see why")
    for trial, (verdict, tests) in zip(trials, found.verdicts, strict=True):
        final = verdict
        if verdict == ON_IMPORT:
            final = fresh(trial, tests, seed, limit_of(found.measured, tests)) if tests else NOT_EXECUTED
        lives = final in {SURVIVED, NOT_EXECUTED}
        scores[trial.module].tried += 1
        scores[trial.module].killed += not lives
        if lives and verdict == ON_IMPORT:
            print(shown(trial, final, tests), flush=True)
    return scores


def _chosen(module: str, path: Path, most: int, seed: int, known: Sequence[Equivalent]) -> tuple[list[Trial], int]:
    """Return a sample of the module's mutants in the order of their lines, and the number of equivalent ones in it."""
    source = path.read_text(encoding="utf-8")
    found = sites(source)
    sample = random.Random(f"{seed} {module}").sample(found, min(most, len(found)))
    trials = [Trial(module, path, mutant(source, site)) for site in sample]
    kept = [trial for trial in trials if not any(each.fits(module, trial.made) for each in known)]
    kept.sort(key=lambda trial: (trial.made.line, trial.made.change))
    return kept, len(trials) - len(kept)


def _preload() -> None:
    """Import what the tests need of others, once for all processes."""
    for name in (
        *("numpy", "scipy.stats", "sklearn.metrics", "hypothesis", "orjson", "requests", "yaml"),
        *("flask", "gunicorn.app.base", "elasticsearch", "opensearchpy", "prometheus_client", "rapidfuzz", "pandas"),
    ):
        try:
            importlib.import_module(name)
        except ImportError:
            # An extra that isn't installed: the tests that need it say so.
            continue


if __name__ == "__main__":
    _preload()
    sys.exit(main())
