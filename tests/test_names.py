"""Document ids: the request's own up to what an engine takes."""

from __future__ import annotations

import pytest

from request_logger.common.names import MAX_ID_BYTES, document_id, item_id, other_owner


@pytest.mark.parametrize("size", [1, 460, 461, 500, 504, 505, 511, 512, 513, 2000])
@pytest.mark.parametrize("letter", ["x", "é", "𝄞"])
def test_an_id_is_kept_as_long_as_an_engine_takes_it(size: int, letter: str) -> None:
    """What is longer, with its row, is shortened; no two meet, and none is too long."""
    request_id = (letter * size).encode()[:size].decode(errors="ignore")
    other = request_id[:-1] + "y"
    ids = {
        document_id(request_id): request_id,
        item_id(request_id, 9): f"{request_id}-item-9",
        item_id(request_id, 1234567): f"{request_id}-item-1234567",
        document_id(f"{request_id}-item-9"): f"{request_id}-item-9~",
    }
    for found, wanted in ids.items():
        assert found == wanted or len(wanted.encode()) > MAX_ID_BYTES
    others = {document_id(other), item_id(other, 9), other_owner(request_id, "a"), other_owner(request_id, "b")}
    assert len(ids) + len(others) == len({*ids, *others}) == 8
    assert all(len(id.encode()) <= MAX_ID_BYTES for id in {*ids, *others})
