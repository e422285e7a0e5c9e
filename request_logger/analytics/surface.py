"""Where a text is read, and how that which its reader can change is named there."""

from __future__ import annotations

from enum import Enum, StrEnum


class Surface(StrEnum):
    """Where a text is read: the terminal has options, the server's pages and routes have parameters of a URL."""

    TERMINAL = "terminal"
    SERVER = "server"


class Control(Enum):
    """What a note tells to change: the option of a command, and the parameter; a command where there is none."""

    MATURE = "--mature", "mature=true"
    START = "--from", "from"
    CONDITION = "--where", "where"
    METRIC = "--metric", "metric"
    ONE_LOOK = "--fixed-n", "form=fixed-n"
    SPLIT = "--split", "request-logger compare --split"
    FIELDS = "--fields", "request-logger drift --fields"

    def on(self, surface: Surface) -> str:
        """Return how it is named there."""
        option, parameter = self.value
        return option if surface is Surface.TERMINAL else parameter
