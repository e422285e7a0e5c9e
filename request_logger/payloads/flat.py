"""Reads a flat array of numbers as the scorer of its deployment expects: as a batch of single values, or as one row."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum, auto

from request_logger.payloads.base import Decoded, Item


class Flat(Enum):
    """What a flat array of numbers is."""

    BATCH = auto()
    """One row per number, as the protocols say."""
    ROW = auto()
    """One row, as Seldon's MulticlassOneHot reads it."""


def is_flat(decoded: Decoded) -> bool:
    """Return whether a body is several rows of one number each."""
    return len(decoded.items) > 1 and {type(item.instance) for item in decoded.items} <= {int, float, bool}


def read_flat(decoded: Decoded, flat: Flat) -> Decoded:
    """Return a decoded body whose flat array, if it is one, is read as ``flat`` says."""
    if flat is Flat.BATCH or not is_flat(decoded):
        return decoded
    row = [item.instance for item in decoded.items]
    names = decoded.names if decoded.names and len(decoded.names) == len(row) else None
    item = Item(row, dict(zip(names, row, strict=True)) if names else None)
    return replace(decoded, data_type="tabular", items=[item])
