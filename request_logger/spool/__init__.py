"""Events on disk: those that the search engine can't accept now, or with QUEUE=always all of them."""

from request_logger.spool.commits import MOST_LINGER_SECONDS
from request_logger.spool.disk import EventTooLargeError, Spool, check
from request_logger.spool.observer import Observer
from request_logger.spool.record import from_bytes, to_bytes
from request_logger.spool.replay import BATCH_EVENTS
from request_logger.spool.replayer import Replayer

__all__ = [
    "BATCH_EVENTS",
    "MOST_LINGER_SECONDS",
    "EventTooLargeError",
    "Observer",
    "Replayer",
    "Spool",
    "check",
    "from_bytes",
    "to_bytes",
]
