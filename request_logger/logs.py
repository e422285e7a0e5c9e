"""How log lines look: LOG_FORMAT, for our own lines, the libraries' and gunicorn's.

No line has a payload or a secret in it. What could bring one in by accident is cut here: an exception's text, which
may quote the value that it is about, is left out of tracebacks, also of those that nobody caught.
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

log = logging.getLogger(__name__)

FIELDS = ("trace_id", "request_id", "part", "deployment", "namespace", "size")
"""What a record may have beside its message, such as `documents.log_fields` gives."""

# They log each failed request with a traceback; the store says the same in one line.
_SILENT = ("opensearch", "elastic_transport", "elasticsearch")
# At DEBUG they would add lines of their own to each event.
_QUIET = ("urllib3", "asyncio")
_QUOTED = re.compile(r"(?<!\w)(['\"]).*?(?:\1(?!\w)|$)", re.DOTALL)
# "Numeric value (12345678901) out of range", "Text (...) could not be parsed".
_PARENTHESISED = re.compile(r"\([^()]*\)?")
# A number of the document's; statuses and limits are shorter, or part of a name.
_LONG_NUMBER = re.compile(r"(?<![\w.:/-])-?\d[\d.,eE+-]{4,}(?![\w-])")
_BRACKETED = re.compile(r"\[([^\[\]]*)\]?")
# Of what stands in brackets only the names of our fields and of types are no values.
_FIELD_NAME = re.compile(
    r"(request|response|feedback|outlier|drift|metrics)(\.[\w-]+){0,2}$|@timestamp$|"
    r"(long|double|float|integer|byte|date|keyword|text|boolean|object)$"
)


def configure(level: str, format: str) -> None:
    """Set up the root logger and the libraries' for one process; calling it again changes it."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(format))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # A log call that fails would print its arguments.
    logging.raiseExceptions = False
    threading.excepthook = _thread_failed
    sys.excepthook = _program_failed
    sys.unraisablehook = _cleaning_failed
    if "gevent.hub" in sys.modules:
        # Greenlets that no thread stands for, such as those of connections, end here.
        sys.modules["gevent.hub"].Hub.print_exception = _greenlet_failed
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for name in _QUIET:
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


def _cleaning_failed(failed: sys.UnraisableHookArgs) -> None:
    _log_uncaught("an object could not be cleaned up", failed.exc_value)


def _greenlet_failed(hub: Any, context: Any, kind: Any, error: Any, trace: Any) -> None:
    _log_uncaught("a greenlet ended with an error", error if isinstance(error, BaseException) else None)


def _log_uncaught(message: str, error: BaseException | None) -> None:
    log.error(message, exc_info=(type(error), error, error.__traceback__) if error is not None else None)


def formatter(format: str) -> logging.Formatter:
    """Return the formatter for a value of LOG_FORMAT."""
    return JsonFormatter() if format == "json" else TextFormatter()


def without_values(reason: str) -> str:
    """Cut what an engine quotes of a document out of its reason for refusing it; names of fields and types stay."""
    reason = reason.partition("Preview of field's value")[0]
    reason = _PARENTHESISED.sub("(...)", reason)
    # "For input string: ..." has the value bare in some versions.
    reason = re.sub(r"(?i)(for input string:).*?(?= <- |$)", r"\1 ...", reason)
    reason = _QUOTED.sub("'...'", reason)
    reason = _BRACKETED.sub(lambda match: match[0] if _FIELD_NAME.match(match[1]) else "[...]", reason)
    return _LONG_NUMBER.sub("...", reason)


class TextFormatter(logging.Formatter):
    """One line of text, with what is known of the event behind it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; line breaks in a message, which a sender may have put there, are escaped."""
        message, trace = record.getMessage(), _exception(record)
        line = f"{self.formatTime(record)} {record.levelname} {record.name} {message}"
        line += "".join(f" {name}={value!r}" for name, value in _fields(record))
        line = line.replace("\r", "\\r").replace("\n", "\\n")
        return line + "".join(f"\n  {entry}" for entry in trace)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and what is known of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = {"time": time, "level": record.levelname, "logger": record.name, "message": record.getMessage()}
        line.update(_fields(record))
        if trace := _exception(record):
            line["exception"] = "\n".join(trace)
        return dumps(line).decode()


def _fields(record: logging.LogRecord) -> list[tuple[str, Any]]:
    found = ((name, getattr(record, name, None)) for name in FIELDS)
    return [(name, value) for name, value in found if value is not None]


def _exception(record: logging.LogRecord) -> list[str]:
    """Return the traceback, innermost call last: types and places, and no exception's text."""
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
