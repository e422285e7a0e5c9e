"""The id of a prediction in what a user of Seldon Core 2 has at hand: a record's key, or a response's header."""

from __future__ import annotations

KINDS = ("model", "pipeline")
"""What a deployment of Core 2 is, in the place of the predictor."""


def id_of(text: str, resource: str) -> str:
    """Return the id in a key ``<partition>.<resource>.<id>``, or in a header with a key and the id; else the text."""
    partition, dot, name_and_id = text.partition(".")
    if not (dot and partition.isascii() and partition.isdigit()):
        return text
    # Over HTTP the header comes twice, whatever the resource.
    key, _, id = name_and_id.rpartition(",")
    id = id.strip(" \t")
    if id and key.endswith(f".{id}"):
        return id
    found = name_and_id.removeprefix(f"{resource}.")
    return found if found and found != name_and_id else text
