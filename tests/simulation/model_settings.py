"""Index settings in the model engine: known names, flat and nested forms."""

from __future__ import annotations

from typing import Any

from tests.simulation.model_flavour import Flavour, Refusal, bad_argument, because

Json = dict[str, Any]

_KNOWN_SETTINGS = (
    "index.mapping.",
    "index.blocks.",
    "index.routing.",
    "index.lifecycle.",
    "index.translog.",
    "index.sort.",
)
_KNOWN = frozenset(
    f"index.{name}"
    for name in (
        "number_of_shards",
        "number_of_replicas",
        "refresh_interval",
        "default_pipeline",
        "final_pipeline",
        "hidden",
        "auto_expand_replicas",
        "codec",
        "max_result_window",
        "provided_name",
        "gc_deletes",
    )
)


def check_settings(flavour: Flavour, settings: Json) -> None:
    """Check flat settings of an index. Raises Refusal."""
    for name, value in settings.items():
        if name not in _KNOWN and not name.startswith(_KNOWN_SETTINGS):
            text = f"unknown setting [{name}] please check that any required plugins are installed"
            raise Refusal(400, flavour.unknown_setting, text)
        if value is not None and name in (
            "index.mapping.total_fields.limit",
            "index.number_of_replicas",
            "index.number_of_shards",
        ):
            try:
                number = int(value)
            except ValueError:
                text = f"Failed to parse value [{value}] for setting [{name}]"
                raise bad_argument(text, **because("number_format_exception", "no number")) from None
            if number < (1 if name == "index.number_of_shards" else 0):
                raise bad_argument(f"Failed to parse value [{value}] for setting [{name}] must be >= 1")


def flat(settings: Json, prefix: str = "") -> Json:
    """Return nested settings as flat ones that begin with ``index.``."""
    made: Json = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            made |= flat(value, f"{prefix}{name}.")
        else:
            made[prefix + name] = value
    if prefix:
        return made
    return {name if name.startswith("index.") else f"index.{name}": value for name, value in made.items()}


def nested(settings: Json) -> Json:
    """Return the nested form of flat settings."""
    made: Json = {}
    for name, value in settings.items():
        *parts, last = name.split(".")
        inner = made
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return made


def str_of(value: Any) -> str:
    """Return the text form in which the engine stores a value."""
    return str(value).lower() if isinstance(value, bool) else str(value)
