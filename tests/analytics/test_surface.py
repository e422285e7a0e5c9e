"""What a note tells to change is named as its reader can write it: an option of a command, a parameter of a page."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator

import pytest

from request_logger.analytics.comparison_text import notes
from request_logger.analytics.report_notes import limits_of
from request_logger.analytics.surface import Control, Surface
from request_logger.commands.registry import COMMANDS
from request_logger.server import report_parameters
from request_logger.settings import Settings
from tests.analytics.test_comparison_text import FOUND

PARAMETERS = {*report_parameters.PAGE, *report_parameters.COMPARE}


@pytest.mark.parametrize("control", Control)
def test_options_and_parameters_exist(control: Control) -> None:
    """A control without a parameter names the command and its option."""
    option, parameter = control.on(Surface.TERMINAL), control.on(Surface.SERVER)
    assert any(option in options_of(name) for name in ("report", "compare", "drift"))
    command = re.fullmatch(r"request-logger (\w+) (--\w+)", parameter)
    if command is None:
        assert parameter.partition("=")[0] in PARAMETERS
    else:
        assert command[2] in options_of(command[1])


def options_of(command: str) -> list[str]:
    parser = argparse.ArgumentParser()
    module = importlib.import_module(f"request_logger.commands.{COMMANDS[command][0]}")
    module.add_arguments(parser)
    return list(parser._option_string_actions)


def test_a_page_names_no_option_of_a_command() -> None:
    """Of the notes with a control; the options of a command that is named stay."""
    for texts in (comparison, report):
        assert any(re.search(r"(?<![\w-])--\w", text) for text in texts(Surface.TERMINAL))
        for text in texts(Surface.SERVER):
            assert not re.search(r"(?<!compare )(?<![\w-])--\w", text)


def comparison(surface: Surface) -> Iterator[str]:
    for form in ("fixed-n", "sequential"):
        yield from notes(
            {**FOUND, "form": form, "traffic": {"feedback": {"a": 0.5, "b": 0.5, "p_value": 1.0}}}, surface
        )


def report(surface: Surface) -> list[str]:
    young = {"scorer": "binary", "metrics": [{}], "over_time": {"points": [{"mature": False}]}}
    found = {"tasks": [young], "coverage": {"share": 1.0}}
    return limits_of(found, "prediction", 0, Settings(), surface)
