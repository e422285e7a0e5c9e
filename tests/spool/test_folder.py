"""The spool's folder: checked before the start, refused in one line where it can't be used."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from request_logger.settings import SettingsError
from request_logger.spool import Spool, check
from request_logger.spool.observer import NullObserver
from tests.test_spool import some


@pytest.mark.parametrize("kind", ["file in the way", "folder for the database", "read-only"])
def test_folder_that_cannot_be_used(tmp_path: Path, kind: str) -> None:
    """It is one line that names the variable, at the check before the start as well."""
    folder = tmp_path / "spool"
    mounted = False
    if kind == "file in the way":
        folder.write_text("")
    elif kind == "folder for the database":
        (folder / "spool.db").mkdir(parents=True)
    else:
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", folder]
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        if not mounted:
            folder.chmod(0o500)
            if os.access(folder, os.W_OK):
                pytest.skip("root may write everywhere, and no tmpfs can be mounted")
    try:
        for use in (check, lambda name: Spool(name, 2**30, NullObserver())):
            with pytest.raises(SettingsError, match=r"^SPOOL_DIR: expected a folder that can be written[^\n]*$"):
                use(str(folder))
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


def test_check_leaves_a_usable_folder(tmp_path: Path) -> None:
    """It makes the folder, and reserves nothing yet."""
    check(str(tmp_path / "a" / "b"))
    assert not (tmp_path / "a" / "b" / "spool.reserve").exists()
    spool = Spool(str(tmp_path / "a" / "b"), 2**30, NullObserver())
    spool.append(some("a"))
    assert (tmp_path / "a" / "b" / "spool.reserve").stat().st_blocks > 0
    spool.close()
