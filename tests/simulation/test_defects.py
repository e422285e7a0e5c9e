"""Each defect of an earlier version, put back as a patch, is found by the simulation."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DEFECTS = Path(__file__).parent / "defects"
# Where the search begins: somewhat before the seed that found it last, where that is a late one.
# `pytest -rP tests/simulation/test_defects.py` shows the seeds.
FIRST: dict[str, int] = {}
SCHEDULES = 4_000


NAMES = sorted(path.stem for path in DEFECTS.glob("*.patch"))


def test_the_docs_have_all_defects() -> None:
    """docs/faults.md has a row for each patch, and for nothing else."""
    section = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").partition("## Defects put back")[2]
    rows = re.findall(r"^\| `(\w+)` \| \d+ \|", section.partition("\n## ")[0], re.MULTILINE)
    assert rows == NAMES
    assert f"defects, {len(NAMES)} of earlier versions" in " ".join(section.split())


@pytest.mark.parametrize("name", NAMES)
def test_a_defect_is_found(name: str, tmp_path: Path) -> None:
    """The patched program violates an invariant where the program doesn't."""
    for folder in ("request_logger", "scorers", "tests"):
        ignored = shutil.ignore_patterns("__pycache__", "data", "conversations")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignored)
    patch = subprocess.run(
        ["git", "apply", "--unsafe-paths", f"--directory={tmp_path}", str(DEFECTS / f"{name}.patch")],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert patch.returncode == 0, patch.stderr
    played = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--first", str(FIRST.get(name, 0)), "--schedules",
         str(SCHEDULES), "--until-found"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    print(played.stdout)
    assert played.returncode == 1, played.stderr[-2000:]
    assert played.stdout.startswith("seed "), played.stderr[-2000:]
