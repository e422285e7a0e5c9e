"""How a _bulk's bound follows what the engine refuses."""

from __future__ import annotations

from request_logger.store.writing.bulk_sizes import BulkSizes


def test_too_large_is_remembered() -> None:
    """What the engine never takes is not tried again, however much it takes in between."""
    sizes = BulkSizes(1000)
    sizes.too_large(900)
    sizes.taken()
    sizes.taken()
    assert sizes.max_bytes == 450
    sizes.too_large(300)
    assert sizes.max_bytes == 150
    sizes.too_large(1)
    assert sizes.max_bytes == 1


def test_too_busy_passes() -> None:
    """Halved with each rejection down to a bound; doubled with each success up to the bound."""
    sizes = BulkSizes(5 * 2**20)
    seen = []
    for _ in range(20):
        sizes.too_busy(sizes.max_bytes)
        seen.append(sizes.max_bytes)
    assert seen[0] == 5 * 2**19
    assert seen[-1] == 16 * 2**10
    for _ in range(20):
        sizes.taken()
    assert sizes.max_bytes == 5 * 2**20


def test_a_small_bound_stays() -> None:
    """BULK_MAX_BYTES below the least is kept."""
    sizes = BulkSizes(100)
    sizes.too_busy(80)
    assert sizes.max_bytes == 100
