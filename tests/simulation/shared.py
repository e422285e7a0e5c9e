"""What schedules ask again and again is computed once: a mapping's JSON, and what the program makes of that mapping.

A mapping has a thousand fields, and few mappings differ. So the model of a schedule returns one object per text of a
mapping or template, the program wants one object per template, and its pure functions of a mapping or a template keep
their results in that object. Nobody may change it, which `changed` detects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any

import orjson

from request_logger.settings import Settings
from request_logger.store import responses
from request_logger.store.indices import admin, capabilities, templates
from tests.simulation.model_mapping import ModelMapping

# A few per flavour, with the fields that events add; each has some 200 kB.
_MOST_KEPT = 128
# The program's functions of one mapping or template, where they are called; their other arguments are options by name.
_FUNCTIONS: tuple[tuple[Any, str], ...] = (
    (responses, "_is_mapping"), (templates, "additions"), (admin, "is_leanable"), (capabilities, "without_points"),
)  # fmt: skip


class Shared(dict[str, Any]):
    """A JSON object that many answers contain. ``raw`` is its text, ``results`` what functions returned for it."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(orjson.loads(raw))
        self.raw = raw
        self.results: dict[tuple[Any, ...], Any] = {}


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes its result for a shared object once."""

    @wraps(function)
    def remembered(value: Any, **options: Any) -> Any:
        if value.__class__ is not Shared:
            return function(value, **options)
        key = (function, *sorted(options.items()))
        if key not in value.results:
            value.results[key] = function(value, **options)
        return value.results[key]

    return remembered


@contextmanager
def computed_once(made: Callable[[Shared], None] = lambda value: None) -> Iterator[None]:
    """Let models share their mappings meanwhile, and the program's functions of a mapping remember their results.

    ``made`` is called for each object that is shared.
    """

    @lru_cache(maxsize=_MOST_KEPT)
    def shared(raw: bytes) -> Shared:
        value = Shared(raw)
        made(value)
        return value

    originals = [getattr(module, name) for module, name in _FUNCTIONS]
    wanted_of = templates.wanted

    @lru_cache(maxsize=_MOST_KEPT)
    def wanted(settings: Settings) -> dict[str, Any]:
        return {name: shared(orjson.dumps(template)) for name, template in wanted_of(settings).items()}

    templates.wanted = wanted
    ModelMapping.shown_by = staticmethod(shared)
    for (module, name), original in zip(_FUNCTIONS, originals, strict=True):
        setattr(module, name, _once(original))
    try:
        yield
    finally:
        templates.wanted = wanted_of
        ModelMapping.shown_by = staticmethod(orjson.loads)
        for (module, name), original in zip(_FUNCTIONS, originals, strict=True):
            setattr(module, name, original)


def changed(value: Shared) -> bool:
    """Return whether somebody has changed a shared object, or a result that it keeps."""
    fresh = Shared(value.raw)
    return value != fresh or any(key[0](fresh, **dict(key[1:])) != found for key, found in value.results.items())
