"""Limits how many connections a worker keeps open, by the file descriptors that they need."""

from __future__ import annotations

import resource

# Per worker, including idle ones. An idle connection holds about 10 kB, so these hold 40 MB.
MOST_CONNECTIONS = 4000
# File descriptors for everything else: search engine, spool, metrics, log, and connections just accepted.
_OTHER_FILES = 256
# Also under a very low limit, the probes and some senders must be able to connect.
_FEWEST_CONNECTIONS = 16


def most_connections() -> int:
    """Return how many connections a worker may have open; fewer than MOST_CONNECTIONS under a low ulimit -n."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(min(MOST_CONNECTIONS, files - _OTHER_FILES), _FEWEST_CONNECTIONS)


def raise_file_limit() -> None:
    """Raise the open-file limit of this process and its workers to what they need, within the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + _OTHER_FILES
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
