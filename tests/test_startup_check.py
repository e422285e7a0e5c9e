"""The check before the server starts finds what is wrong and leaves nothing in the process that asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from request_logger.commands.startup_check import check
from request_logger.metadata.schema import MetadataError
from request_logger.scoring.registry import ScorerError
from request_logger.settings import Settings, SettingsError

SCORER = """\
class Mine:
    name = "mine"
    metrics = ()

    def score(self, truth, prediction):
        return {}
"""
PROGRAM = """\
import sys
from request_logger.commands.serve import check
from request_logger.settings import Settings
check(Settings(scorer="module_of_mine.Mine"))
print([name for name in ("module_of_mine", "urllib3", "elasticsearch", "elastic_transport") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"elasticsearch_host": "a:port"}, SettingsError, "ELASTICSEARCH_HOST"),
        ({"redact": "shred everything"}, SettingsError, "REDACT"),
        ({"spool_dir": "/dev/null"}, SettingsError, "SPOOL_DIR"),
        ({"scorer": "no_such_scorer"}, ScorerError, "no_such_scorer"),
        ({"metadata_file": "/does/not/exist.yaml"}, MetadataError, "METADATA_FILE"),
    ],
)
def test_what_is_wrong_is_raised(settings: dict[str, Any], error: type[Exception], said: str) -> None:
    """The error that a part raises comes from its process as it is."""
    with pytest.raises(error, match=said):
        check(Settings(**settings))


def test_nothing_is_imported_here(tmp_path: Path) -> None:
    """Neither HTTP clients nor a user's scorer are in the process that the workers are forks of."""
    (tmp_path / "module_of_mine.py").write_text(SCORER)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROGRAM}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
