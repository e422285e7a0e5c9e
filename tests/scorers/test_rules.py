"""Which rule applies to a deployment, and what a wrong one says."""

from __future__ import annotations

from pathlib import Path

import pytest

from request_logger.payloads.flat import Flat
from request_logger.scoring.registry import ScorerError
from request_logger.scoring.rules import Chooser
from scorers.base import Row
from scorers.multiclass import Multiclass


class OfRows:
    """A scorer to which a flat array is one row."""

    expects_rows = True

    def score(self, truth: Row, prediction: Row) -> dict[str, int]:
        return {}


def test_auto_has_no_name() -> None:
    """Nothing, and white space, are auto."""
    assert [Chooser(setting).scorers for setting in ("", "  ", "auto", " auto ")] == [()] * 4


def test_a_field_that_is_missing(tmp_path: Path) -> None:
    """It is empty text, which a glob of at least one character doesn't match."""
    path = tmp_path / "rules.yaml"
    path.write_text("rules: [{namespace: '?*', scorer: multiclass}]")
    chooser = Chooser("regression", str(path))
    chosen = [chooser.choose(namespace, "d", "p", "m", Row(1), Row(1)) for namespace in ("prod", "")]
    assert [isinstance(each, Multiclass) for each in chosen] == [True, False]


def test_what_a_flat_array_is() -> None:
    """The scorer's class says so."""
    assert Chooser(f"{__name__}.OfRows").flat_of("n", "d", "p", "m") is Flat.ROW
    assert Chooser("regression").flat_of("n", "d", "p", "m") is Flat.BATCH


@pytest.mark.parametrize("options", ["[1]", "{1: 2}", "text"])
def test_options_that_are_none(tmp_path: Path, options: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(f"rules: [{{scorer: binary, options: {options}}}]")
    with pytest.raises(ScorerError, match="rule 1: options must be a mapping of names to values"):
        Chooser("auto", str(path))
