"""Reads the body of an HTTP request completely or not at all, within limits of size and time."""

from __future__ import annotations

import hashlib
import time
from typing import IO, Any, Protocol

from werkzeug.wsgi import get_input_stream

from request_logger.documents.event import BadEventError, Body, is_longer_kept, kept_body
from request_logger.ingest.memory_budget import RequestTooLargeError, Share
from request_logger.settings import Settings

_CHUNK = 64 * 2**10
# A body has 60 seconds to arrive, plus the time that its bytes take at 64 kB/s: slower than any network that could
# carry a model's events, yet fast enough that no sender can hold a body's memory for hours.
SECONDS = 60.0
BYTES_PER_SECOND = 64 * 2**10


class IncompleteBodyError(BadEventError):
    """The body ended before its last byte, or has invalid chunks."""


class LateBodyError(ValueError):
    """The body did not arrive in time."""


class BodyStream(Protocol):
    """A body that is read piece by piece."""

    @property
    def length(self) -> int | None:
        """The number of its bytes, None where the request doesn't say it."""
        ...

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes; empty at the end."""
        ...


class WholeBody:
    """The body of a WSGI request, which raises if it ends early; WSGI servers just return the bytes they have."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._stream: IO[bytes] = get_input_stream(request)
        length = request.get("CONTENT_LENGTH") or ""
        is_chunked = "HTTP_TRANSFER_ENCODING" in request
        self.length: int | None = int(length) if length.isdecimal() and not is_chunked else None
        self._left = self.length or 0
        self._deadline = time.monotonic() + SECONDS

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes; empty at the end. Raises IncompleteBodyError and LateBodyError."""
        if time.monotonic() > self._deadline:
            raise LateBodyError("body: did not arrive in time")
        try:
            data = self._stream.read(size)
        except TimeoutError:
            raise LateBodyError("body: did not arrive in time") from None
        except Exception:
            # Gunicorn's own errors for an invalid chunk, and for a connection that ends within one.
            raise IncompleteBodyError(
                "body: expected a whole body, found one that is cut off or in bad chunks"
            ) from None
        self._left -= len(data)
        self._deadline += len(data) / BYTES_PER_SECOND
        if self._left > 0 and (size < 0 or (size > 0 and not data)):
            raise IncompleteBodyError(f"body: expected {self.length} bytes, found {self._left} fewer")
        return data


def read_body(stream: BodyStream, content_type: str | None, settings: Settings, share: Share) -> Body:
    """Return the body; of one over MAX_PAYLOAD_BYTES only its size and SHA-256, without holding it in memory.

    A streamed answer is held up to MAX_STREAM_BYTES, and assembled (see kept_body). Raises what WholeBody.read and
    Share.take raise.
    """
    kept = bytearray()
    size = 0
    digest = None
    limit = settings.max_payload_bytes
    reserved = limit if _reserve(stream, limit, share) else 0
    while chunk := stream.read(_CHUNK):
        size += len(chunk)
        if digest is None and size > limit and not is_longer_kept(kept or chunk, size, settings):
            digest = hashlib.sha256(kept)
            kept = bytearray()
        if digest is None:
            if size > reserved:
                share.take(len(chunk))
            kept += chunk
        else:
            digest.update(chunk)
    if digest is not None:
        return Body(None, content_type, size, digest.hexdigest())
    return kept_body(bytes(kept), content_type, settings)


def small_body(stream: BodyStream, limit: int, setting: str, share: Share) -> bytearray:
    """Return a whole body of at most ``limit`` bytes.

    Raises RequestTooLargeError, which names the ``setting``, for a larger one, and what WholeBody.read and Share.take
    raise.
    """
    if stream.length is not None and stream.length > limit:
        raise RequestTooLargeError(f"body: larger than {setting} allows")
    kept = bytearray()
    reserved = _reserve(stream, limit, share)
    while chunk := stream.read(_CHUNK):
        if len(kept) + len(chunk) > limit:
            raise RequestTooLargeError(f"body: larger than {setting} allows")
        if not reserved:
            share.take(len(chunk))
        kept += chunk
    return kept


def _reserve(stream: BodyStream, limit: int, share: Share) -> bool:
    """Reserve memory for the whole body if its length is known, so that half-read bodies can't block each other."""
    if stream.length is None:
        return False
    share.take(min(stream.length, limit))
    return True
