"""Index names and document ids: as the original makes them, legal in every case, and never two for one.

What is already legal stays as it is. Anything else is made legal and gets ``~`` and a hash of the original; a legal
name that happens to look like that is treated the same way, so that no two names can meet.
"""

from __future__ import annotations

import hashlib
import re

MAX_INDEX_BYTES = 255
# What an engine takes. A row of a batch adds "-item-<i>" to it, another deployment's document a hash.
MAX_ID_BYTES = 512
# What a name that had to be shortened or moved aside keeps, so that the row's number still fits.
_KEPT_BYTES = 443

_STRIPPED = str.maketrans("", "", '!@#$"<>/?')
_ILLEGAL_IN_INDEX = re.compile(r"[^\x21-\x7e\x80-\U0010ffff]|[A-Z\\/*?\"<>|,#:]")
_LOOKS_HASHED = re.compile(r"~[0-9a-f]{16}$")
_LOOKS_LIKE_ITEM = re.compile(r"-item-[0-9]+~*$")


def strip_header(value: str) -> str:
    """Remove the characters that the original removes from header values."""
    return value.translate(_STRIPPED)


def is_legal_index(name: str) -> bool:
    """Say whether every engine takes this as the name of an index."""
    return (
        bool(name)
        and name == name.lower()
        and not _ILLEGAL_IN_INDEX.search(name)
        and name[0] not in "-_+"
        and name not in (".", "..")
        and len(name.encode()) <= MAX_INDEX_BYTES
    )


def legal_index(name: str) -> str:
    """Make a name legal: itself where it is, else a legal form with a hash of it; two names never meet."""
    if is_legal_index(name) and not _LOOKS_HASHED.search(name):
        return name
    return marked(name, MAX_INDEX_BYTES)


def marked(name: str, size: int) -> str:
    """Give a legal form of a name with a hash of it, at most ``size`` bytes long."""
    legal = _ILLEGAL_IN_INDEX.sub("-", name.lower())
    return _cut(legal, size - 17) + "~" + _hash(name)


def document_id(request_id: str) -> str:
    """Give the document id of an unsplit event.

    A request id that looks like a row of a batch is set apart, so that it can't overwrite that row.
    """
    return _fit(request_id, "~" if _LOOKS_LIKE_ITEM.search(request_id) else "")


def item_id(request_id: str, row: int) -> str:
    """Give the document id of one row of a batch."""
    return _fit(request_id, f"-item-{row}")


def row_named(request_id: str) -> tuple[str, int] | None:
    """Take ``<id>-item-<i>``, the id of a row of a batch, apart; None for any other id."""
    base, item, row = request_id.rpartition("-item-")
    return (base, int(row)) if item and base and row.isdecimal() and row.isascii() and len(row) < 10 else None


def other_owner(request_id: str, owner: str) -> str:
    """Give the request id under which a second deployment's document is kept where one index holds two deployments."""
    return f"{_cut(request_id, _KEPT_BYTES)}~{_hash(owner + chr(0) + request_id)}"


def _fit(request_id: str, ending: str) -> str:
    """Give an id that ends so; the request id is shortened where an engine would not take it."""
    if len(request_id.encode("utf-8", "surrogatepass")) + len(ending) <= MAX_ID_BYTES:
        return request_id + ending
    return _cut(request_id, _KEPT_BYTES) + "~" + _hash(request_id) + ending


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _cut(text: str, size: int) -> str:
    return text.encode("utf-8", "surrogatepass")[:size].decode("utf-8", "ignore")
