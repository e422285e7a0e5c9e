"""Formats log lines by LOG_FORMAT: this program's, the libraries' and gunicorn's.

No line contains a payload or a secret. Exception texts, which may quote the value that they are about, are removed from
tracebacks, including those of uncaught exceptions.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from request_logger.common.json import dumps
from request_logger.common.times import utc_text

log = logging.getLogger(__name__)

FIELDS = ("trace_id", "request_id", "part", "deployment", "namespace", "size")
"""Extra fields that a log record may have, such as those of `log_fields` in `documents.document`."""

# These log each failed request with a traceback; the store reports it in one line.
_SILENCED = ("elastic_transport", "elasticsearch")
# With a handler it makes a text of each request and its body, whatever the level.
_DETACHED = "elastic_transport.node"
# At DEBUG these would add lines per event.
_NO_DEBUG = ("urllib3", "asyncio")
_QUOTED = re.compile(r"(?<!\w)(['\"]).*?(?:\1(?!\w)|$)", re.DOTALL)
# "Numeric value (12345678901) out of range", "Text (...) could not be parsed".
_PARENTHESISED = re.compile(r"\([^()]*\)?")
# A number from the document; statuses and limits are shorter, or part of a name.
_LONG_NUMBER = re.compile(r"(?<![\w.:/-])-?\d[\d.,eE+-]{4,}(?![\w-])")
_BRACKETED = re.compile(r"\[([^\[\]]*)\]?")
# In brackets only the names of our fields and of types are kept; everything else may be a value.
_FIELD_NAME = re.compile(
    r"(request|response|feedback|outlier|drift|metrics)(\.[\w-]+){0,2}$|@timestamp$|"
    r"(long|double|float|integer|byte|date|keyword|text|boolean|object)$"
)


def configure(level: str, format: str) -> None:
    """Configure the root logger and the libraries' loggers of this process; a second call replaces the first."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(format))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Otherwise a failing log call prints its arguments.
    logging.raiseExceptions = False
    threading.excepthook = _thread_failed
    sys.excepthook = _program_failed
    sys.unraisablehook = _finalizer_failed
    if "gevent.hub" in sys.modules:
        # Errors of greenlets without a thread, such as those of connections, are reported here.
        sys.modules["gevent.hub"].Hub.print_exception = _greenlet_failed
    for name in _SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger(_DETACHED).propagate = False
    for name in _NO_DEBUG:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLevelName(level)))


def _thread_failed(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_type is not SystemExit:
        name = ended.thread.name if ended.thread is not None else "unknown"
        _log_uncaught(f"thread {name} ended with an error", ended.exc_value)


def _program_failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        _log_uncaught("the program ended with an error", error.with_traceback(trace))


def _finalizer_failed(failed: sys.UnraisableHookArgs) -> None:
    _log_uncaught("an object could not be cleaned up", failed.exc_value)


def _greenlet_failed(hub: Any, context: Any, kind: Any, error: Any, trace: Any) -> None:
    _log_uncaught("a greenlet ended with an error", error if isinstance(error, BaseException) else None)


def _log_uncaught(message: str, error: BaseException | None) -> None:
    log.error(message, exc_info=(type(error), error, error.__traceback__) if error is not None else None)


def formatter(format: str) -> logging.Formatter:
    """Return the formatter for a value of LOG_FORMAT."""
    return JsonFormatter() if format == "json" else TextFormatter()


def without_values(reason: str) -> str:
    """Return a search engine's reason without the values that it quotes; names of fields and types stay."""
    reason = reason.partition("Preview of field's value")[0]
    reason = _PARENTHESISED.sub("(...)", reason)
    # Some versions don't quote the value after "For input string:".
    reason = re.sub(r"(?i)(for input string:).*?(?= <- |$)", r"\1 ...", reason)
    reason = _QUOTED.sub("'...'", reason)
    reason = _BRACKETED.sub(lambda match: match[0] if _FIELD_NAME.match(match[1]) else "[...]", reason)
    return _LONG_NUMBER.sub("...", reason)


class TextFormatter(logging.Formatter):
    """Formats a record as one line of text, followed by the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; line breaks in the message, which a sender may have put there, are escaped."""
        message, trace = record.getMessage(), _exception(record)
        line = f"{self.formatTime(record)} {record.levelname} {record.name} {message}"
        line += "".join(f" {name}={value!r}" for name, value in _fields(record))
        line = line.replace("\r", "\\r").replace("\n", "\\n")
        return line + "".join(f"\n  {entry}" for entry in trace)


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time (UTC), level, logger, message, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = utc_text(datetime.fromtimestamp(record.created, UTC), "milliseconds")
        line = {"time": time, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        line.update(_fields(record))
        if trace := _exception(record):
            line["exception"] = "\n".join(trace)
        return dumps(line).decode()


def _fields(record: logging.LogRecord) -> list[tuple[str, Any]]:
    found = ((name, getattr(record, name, None)) for name in FIELDS)
    return [(name, value) for name, value in found if value is not None]


def _exception(record: logging.LogRecord) -> list[str]:
    """Return the traceback's lines, innermost call last: types and positions, without exception texts."""
    error = record.exc_info[1] if record.exc_info else None
    lines: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        lines[:0] = [*_calls(error.__traceback__), type(error).__qualname__]
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return lines


def _calls(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in traceback.extract_tb(trace)]
