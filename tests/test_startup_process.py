"""The check before the server starts finds what is wrong and leaves nothing in the process that asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from request_logger.commands.startup_process import problems_in_other_process
from request_logger.settings import Settings

SCORER = """\
class Mine:
    name = "mine"
    metrics = ()

    def score(self, truth, prediction):
        return {}
"""
PROGRAM = """\
import sys
from request_logger.commands.startup_process import problems_in_other_process
from request_logger.settings import Settings
problems_in_other_process(Settings(scorer="module_of_mine.Mine"))
print([name for name in ("module_of_mine", "urllib3", "elasticsearch", "elastic_transport") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"elasticsearch_host": "a:port"}, "ELASTICSEARCH_HOST"),
        ({"redact": "shred everything"}, "REDACT"),
        ({"spool_dir": "/dev/null"}, "SPOOL_DIR"),
        ({"scorer": "no_such_scorer"}, "no_such_scorer"),
        ({"metadata_file": "/does/not/exist.yaml"}, "METADATA_FILE"),
    ],
)
def test_each_problem_is_one_line(settings: dict[str, Any], said: str) -> None:
    """The errors of the parts come from the other process as lines."""
    (line,) = problems_in_other_process(Settings(**settings))
    assert said in line
    assert "\n" not in line


def test_nothing_is_imported_here(tmp_path: Path) -> None:
    """Neither HTTP clients nor a user's scorer are in the process that the workers are forks of."""
    (tmp_path / "module_of_mine.py").write_text(SCORER)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
