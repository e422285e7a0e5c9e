"""Index names and document ids: the original logger's where they are legal, and unique in every case.

A legal name is kept. Any other is made legal, and ``~`` and a hash of the original name are appended; a legal name that
looks like such a result is treated the same way, so that two names never collide.
"""

from __future__ import annotations

import hashlib
import re

MAX_INDEX_BYTES = 255
# The search engines' limit for a document id. The id of a row has the suffix "-item-<i>", that of another deployment's
# document a hash.
MAX_ID_BYTES = 512
# So many characters never have more bytes than that.
_SHORT_CHARACTERS = MAX_ID_BYTES // 4
# Bytes kept of an id that is shortened, or gets a hash, so that the hash and the row's suffix still fit.
_KEPT_BYTES = 443

_STRIPPED = re.compile(r'[!@#$"<>/?]')
_ILLEGAL_IN_INDEX = re.compile(r"[^\x21-\x7e\x80-\U0010ffff]|[A-Z\\/*?\"<>|,#:]")
_LOOKS_HASHED = re.compile(r"~[0-9a-f]{16}$")
_LOOKS_LIKE_ITEM = re.compile(r"-item-[0-9]+~*$")


def strip_header(value: str) -> str:
    """Remove the characters that the original logger removes from header values."""
    # A search that finds nothing takes a sixth of the time of str.translate.
    return _STRIPPED.sub("", value) if _STRIPPED.search(value) else value


def is_legal_index(name: str) -> bool:
    """Return whether a name is a legal index name for every search engine."""
    return (
        bool(name)
        and name == name.lower()
        and not _ILLEGAL_IN_INDEX.search(name)
        and name[0] not in "-_+"
        and name not in (".", "..")
        and len(name.encode()) <= MAX_INDEX_BYTES
    )


def legal_index(name: str) -> str:
    """Return a legal index name: the name itself, or a legal form with a hash; two names never collide."""
    if is_legal_index(name) and not _LOOKS_HASHED.search(name):
        return name
    return marked(name, MAX_INDEX_BYTES)


def marked(name: str, size: int) -> str:
    """Return a legal form of a name with a hash of the name, at most ``size`` bytes long."""
    legal = _ILLEGAL_IN_INDEX.sub("-", name.lower())
    return _cut(legal, size - 17) + "~" + _hash(name)


def document_id(request_id: str) -> str:
    """Return the document id of an event that isn't split into rows.

    To a request id that looks like the id of a batch's row, a ``~`` is appended, so that it can't overwrite that row.
    """
    if len(request_id) <= _SHORT_CHARACTERS and "-item-" not in request_id:
        return request_id
    return _fit(request_id, "~" if _LOOKS_LIKE_ITEM.search(request_id) else "")


def item_id(request_id: str, row: int) -> str:
    """Return the document id of one row of a batch."""
    return _fit(request_id, f"-item-{row}")


def row_named(request_id: str) -> tuple[str, int] | None:
    """Split ``<id>-item-<i>``, the id of a batch's row, into id and row; None for any other id."""
    base, item, row = request_id.rpartition("-item-")
    return (base, int(row)) if item and base and row.isdecimal() and row.isascii() and len(row) < 10 else None


def other_owner(request_id: str, owner: str) -> str:
    """Return the request id for a second deployment's document where one index holds several deployments."""
    return f"{_cut(request_id, _KEPT_BYTES)}~{_hash(owner + chr(0) + request_id)}"


def _fit(request_id: str, ending: str) -> str:
    """Return the request id with an ending; the request id is shortened and hashed if the result would be too long."""
    if len(request_id.encode("utf-8", "surrogatepass")) + len(ending) <= MAX_ID_BYTES:
        return request_id + ending
    return _cut(request_id, _KEPT_BYTES) + "~" + _hash(request_id) + ending


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _cut(text: str, size: int) -> str:
    return text.encode("utf-8", "surrogatepass")[:size].decode("utf-8", "ignore")
