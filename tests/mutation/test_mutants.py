"""Mutants: each is the module with one mistake, and what can't be a mistake stays as it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.mutation.__main__ import TESTS
from tests.mutation.mutants import mutant, sites

ROOT = Path(__file__).parents[2]


def changes(source: str) -> list[str]:
    return [mutant(source, site).change for site in sites(source)]


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
        ("min(a, b)", ["min(a, b)  ->  max(a, b)"]),
        ("if a: pass", ["if a:  ->  if not a:"]),
        ("[a for a in b if not c]", [" for a in b if not c  ->   for a in b if c"]),
        ("def f(): return a", ["return a  ->  return None"]),
    ],
)
def test_changes(source: str, expected: list[str]) -> None:
    """Each kind of mistake."""
    assert changes(source) == expected


@pytest.mark.parametrize(
    "source",
    ['"""Text."""', "from a import b", "x: 'int'", "def f(a: 'int') -> 'int': ...", "raise E('a', 1)", "text = f'a'"],
)
def test_what_is_left_alone(source: str) -> None:
    """Docstrings, imports, annotations, and the texts of errors."""
    assert changes(source) == []


@pytest.mark.parametrize("name", TESTS)
def test_modules_and_their_tests_exist(name: str) -> None:
    """A listed module has places for mistakes, its tests are there, and each mutant compiles and differs from it."""
    source = (ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert [test for test in TESTS[name] if not (ROOT / "tests" / test).is_file()] == []
    found = sites(source)
    assert found
    for site in found[:: max(len(found) // 10, 1)]:
        made = mutant(source, site)
        compile(made.source, name, "exec")
        assert made.source != ast.unparse(ast.parse(source))
