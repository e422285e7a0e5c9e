"""`python -m bench.writer_without OPTION...`: `request-logger serve` without options of the writer, to measure them.

Patched at the start, before the workers are forked: the program itself needs no switch for what it always does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

from request_logger.cli import main as request_logger
from request_logger.store.writing.bulk_sizes import BulkSizes
from request_logger.store.writing.bulk_tokens import BulkTokens
from request_logger.store.writing.create_policy import CreatePolicy


def _nothing(*_: object) -> None:
    """Do nothing, whatever is given."""


def _no_linger() -> None:
    os.environ["LINGER_MS"] = "0"


def _no_tokens() -> None:
    BulkTokens.__enter__ = BulkTokens.__exit__ = _nothing  # type: ignore[assignment]


def _no_sizes() -> None:
    BulkSizes.too_busy = BulkSizes.too_large = BulkSizes.taken = _nothing  # type: ignore[assignment]


def _no_policy() -> None:
    CreatePolicy.is_likely = False  # type: ignore[assignment]


OPTIONS: Mapping[str, Callable[[], None]] = {
    "linger": _no_linger,
    "tokens": _no_tokens,
    "sizes": _no_sizes,
    "policy": _no_policy,
}
"""What each option is replaced by: waiting for other events, tokens of the workers, adaptive sizes, plain creates."""


def main(options: Sequence[str]) -> int:
    """Serve without some options, until the process is stopped."""
    for option in options:
        OPTIONS[option]()
    return request_logger(["serve"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
