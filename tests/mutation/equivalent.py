"""Mutants that mean the same as the original: they are neither tried nor counted.

``equivalent.toml`` lists them with the reason. An entry that fits no mutant any more fails a test.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant

_FILE = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Equivalent:
    """The name of a mutant (see `Mutant`), and why no test can detect it."""

    module: str
    function: str
    change: str
    statement: str
    reason: str

    @property
    def name(self) -> tuple[str, str, str]:
        """Function, change and statement."""
        return self.function, self.change, self.statement

    def fits(self, module: str, made: Mutant) -> bool:
        """Whether ``made``, a mutant of ``module``, is meant."""
        return module == self.module and self.name == (made.function, made.change, made.statement)


def equivalents() -> list[Equivalent]:
    """Read the file."""
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8")).get("equivalent", [])
    return [Equivalent(**entry) for entry in entries]
