"""How many connections a worker keeps open, and the file descriptors that they need."""

from __future__ import annotations

import resource

# Of one worker, idle ones included. An idle one holds about 10 kB.
MOST_CONNECTIONS = 4000
# File descriptors for all else: the engine, the spool, the counters, the log, and connections that were just accepted.
_OTHER_FILES = 256
_FEWEST_CONNECTIONS = 16


def most_connections() -> int:
    """Return how many connections a worker may have open: fewer where the limit of files (ulimit -n) is low."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(min(MOST_CONNECTIONS, files - _OTHER_FILES), _FEWEST_CONNECTIONS)


def raise_file_limit() -> None:
    """Let this process and its workers open as many files as they need, as far as the system lets them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
