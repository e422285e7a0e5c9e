"""docs/report.md has every option of the two commands and every parameter of the URL."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest

from request_logger.analytics.contrasts import ALPHA, POWER
from request_logger.commands import compare, report
from request_logger.server.report_parameters import REPORT

PAGE = (Path(__file__).parent.parent.parent / "docs" / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("title", "command"), [("The report", report), ("Comparing two", compare)])
def test_options(title: str, command: Any) -> None:
    """The table of a command has all of its options, and no other."""
    parser = argparse.ArgumentParser(add_help=False)
    command.add_arguments(parser)
    options = {text for action in parser._actions for text in action.option_strings}
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    table = "\n".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| "))
    assert set(re.findall(r"--[a-z-]+", table)) == options


def test_parameters() -> None:
    listed = re.search(r"Its parameters are (.*?):", PAGE, re.DOTALL)
    assert listed is not None
    assert tuple(re.findall(r"`(\w+)`", listed[1])) == REPORT


def test_levels() -> None:
    """The page says 80 % and 95 %."""
    assert (ALPHA, POWER) == (0.05, 0.8)
