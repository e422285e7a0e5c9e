"""Events on disk while the search engine can't accept them: for senders that don't retry."""

from request_logger.spool.disk import Spool, check
from request_logger.spool.observer import Observer
from request_logger.spool.record import from_bytes, to_bytes
from request_logger.spool.replayer import Replayer

__all__ = ["Observer", "Replayer", "Spool", "check", "from_bytes", "to_bytes"]
