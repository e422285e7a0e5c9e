"""Memory tuning: large blocks return to the system."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# The first block would raise glibc's limit, so that the second one is part of the heap, below the one that stays.
_SCRIPT = """
import re, sys
from pathlib import Path

def resident():
    return int(re.findall(r"VmRSS:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[0]) * 1024

if "tuned" in sys.argv:
    from request_logger.server.memory_tuning import tune_memory
    tune_memory()
first = b"x" * 10_000_000
del first
before = resident()
second = b"x" * 10_000_000
stays = b"x" * 100_000
del second
print(resident() - before)
"""


def _held(*arguments: str) -> int:
    found = subprocess.run([sys.executable, "-c", _SCRIPT, *arguments], capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other limits")
def test_a_large_block_returns_to_the_system_when_it_is_freed() -> None:
    """Not so without the tuning, which shows that it is needed."""
    assert _held() > 9_000_000
    assert _held("tuned") < 2_000_000
