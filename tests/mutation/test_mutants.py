"""Mutants: each is the module with one mistake, and what can't be a mistake stays as it is."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent

import pytest

from tests.mutation.equivalent import equivalents
from tests.mutation.groups import GROUPS, ROOT
from tests.mutation.mutants import Mutant, mutant, names, sites
from tests.mutation.trial import Measured, Trial, in_child

MODULES = {name: path for group in GROUPS.values() for name, path in group.modules.items()}


def mutants(source: str) -> list[Mutant]:
    return [mutant(source, site) for site in sites(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b", ["a < b  ->  a <= b"]),
        ("a + b", ["a + b  ->  a - b"]),
        ("a += b", ["a += b  ->  a -= b"]),
        ("a and b", ["a and b  ->  a or b"]),
        ("-a", ["-a  ->  +a"]),
        ("x = 2.5", ["2.5  ->  3.5"]),
        ("x = True", ["True  ->  False"]),
        ("x = 'a'", ["'a'  ->  'ax'"]),
        ("x = min(a, b)", ["min(a, b)  ->  max(a, b)"]),
        ("a.add(b)", ["a.add(b)  ->  None"]),
        ("if a: pass", ["if a:  ->  if not a:"]),
        ("[a for a in b if not c]", [" for a in b if not c  ->   for a in b if c"]),
        ("def f(): return a", ["return a  ->  return None"]),
    ],
)
def test_changes(source: str, expected: list[str]) -> None:
    """Each kind of mistake."""
    assert [made.change for made in mutants(source)] == expected


@pytest.mark.parametrize(
    "source",
    ['"""Text."""', "from a import b", "x: 'int'", "def f(a: 'int') -> 'int': ...", "raise E('a', 1)", "text = f'a'"],
)
def test_what_is_left_alone(source: str) -> None:
    """Docstrings, imports, annotations, and the texts of errors."""
    assert mutants(source) == []


def test_place_of_a_mutant() -> None:
    """Its function, its statement, and the lines that a test has to execute to detect it."""
    source = dedent(
        """\
        class A:
            x = 1

            @decorated
            def f(self, a=2):
                if (
                    a > b
                ):
                    return g(
                        c < d
                    )
                def inner():
                    return -a
        """
    )
    found = {made.change: (made.function, made.statement, made.lines) for made in mutants(source)}
    assert found == {
        "1  ->  2": ("", "x = 2", (2, 2)),
        "2  ->  3": ("", "def f(self, a=3):", (5, 5)),
        "if a > b:  ->  if not a > b:": ("A.f", "if not a > b:", (6, 8)),
        "a > b  ->  a >= b": ("A.f", "if a >= b:", (6, 8)),
        "return g(c < d)  ->  return None": ("A.f", "return None", (9, 11)),
        "c < d  ->  c <= d": ("A.f", "return g(c <= d)", (10, 11)),
        "return -a  ->  return None": ("A.f", "return None", (13, 13)),
        "-a  ->  +a": ("A.f", "return +a", (13, 13)),
    }


@pytest.mark.parametrize("name", MODULES)
def test_modules_have_mutants(name: str) -> None:
    """A listed module has places for mistakes, and each mutant compiles and differs from it."""
    source = MODULES[name].read_text(encoding="utf-8")
    found = sites(source)
    assert found
    for site in found[:: max(len(found) // 5, 1)]:
        made = mutant(source, site)
        compile(made.tree, name, "exec")
        assert ast.unparse(made.tree) != ast.unparse(ast.parse(source))


def test_groups_tests_exist() -> None:
    """The files and folders of the groups' tests are there."""
    assert [test for group in GROUPS.values() for test in group.tests if not (ROOT / "tests" / test).exists()] == []


def test_equivalent_mutants_exist() -> None:
    """Each entry of the list fits one mutant of its module, and says why it is equivalent."""
    found = {
        module: list(names(MODULES[module].read_text(encoding="utf-8")))
        for module in {each.module for each in equivalents()}
    }
    wrong = {
        (each.module, *each.name): fitting
        for each in equivalents()
        if (fitting := found[each.module].count(each.name)) != 1 or not each.reason
    }
    assert wrong == {}


def test_names_are_those_of_the_mutants() -> None:
    """All of them, and the module is parsed once."""
    source = MODULES["scorers.probabilities"].read_text(encoding="utf-8")
    assert list(names(source)) == [(made.function, made.change, made.statement) for made in mutants(source)]


def test_child_process() -> None:
    """A result comes back; an exit without one is an error; what takes too long is stopped."""
    assert in_child(lambda: [1, 2]) == [1, 2]
    with pytest.raises(ChildProcessError):
        in_child(lambda: 1 / 0)
    assert in_child(lambda: list(iter(int, 1)), limit=0.1) is None


def test_tests_of_a_mutant() -> None:
    """Those that execute one of its lines, the quickest first; for code executed on import all of the module."""
    path = Path("a.py")
    measured = Measured(
        {"quick": 1.0, "slow": 3.0, "other": 2.0},
        {path: {2: ["slow", "failed", "quick"], 3: ["other"], 4: []}},
    )
    inside, outside = (Trial("a", path, Mutant(2, (2, 2), function, "", "", ast.parse(""))) for function in ("f", ""))
    assert measured.tests_of(inside) == ["quick", "slow"]
    assert measured.tests_of(outside) == ["quick", "other", "slow"]
