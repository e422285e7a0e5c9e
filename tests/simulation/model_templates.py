"""Index templates of the model engine. Parsed templates are cached, as simulations install the same ones repeatedly."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import orjson

from tests.simulation.model_flavour import FLAVOURS, Refusal, bad_argument, because
from tests.simulation.model_json import ParseError, parse
from tests.simulation.model_mapping import ModelMapping
from tests.simulation.model_settings import flat, nested, str_of

Json = dict[str, Any]

_KEPT = 64


@dataclass(frozen=True)
class Template:
    """One template. ``mapping`` is copied for each new index; ``shown`` is the JSON of an answer."""

    patterns: tuple[str, ...]
    priority: int
    is_data_stream: bool
    settings: dict[str, str]
    aliases: dict[str, Json]
    mapping: ModelMapping
    shown: bytes

    def matches(self, name: str) -> bool:
        """Return whether it applies to an index of this name."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns)


@lru_cache(maxsize=_KEPT)
def read_template(flavour_name: str, raw: bytes) -> Template:
    """Return the template of a body. Raises Refusal."""
    flavour = FLAVOURS[flavour_name]
    try:
        body = parse(raw, flavour)
    except ParseError:
        raise Refusal(400, "x_content_parse_exception", "the body is not JSON") from None
    if "index_patterns" not in body:
        raise bad_argument("Required [index_patterns]")
    inner = body.get("template", {})
    mapping = ModelMapping(flavour)
    try:
        mapping.merge(inner.get("mappings", {}))
    except Refusal as refusal:
        text = "the template after composition is invalid"
        raise bad_argument(text, **because(refusal.type, refusal.reason)) from None
    settings = {key: str_of(value) for key, value in flat(inner.get("settings", {})).items()}
    aliases = inner.get("aliases", {})
    shown = {"composed_of": [], **body}
    if "settings" in inner:
        shown["template"] = {**inner, "settings": nested(settings)}
    return Template(
        patterns=tuple(body["index_patterns"]),
        priority=int(body.get("priority", 0)),
        is_data_stream="data_stream" in body,
        settings=settings,
        aliases=aliases,
        mapping=mapping,
        shown=orjson.dumps(shown),
    )


def get_template(templates: dict[str, Template], name: str) -> Json:
    """Show an index template."""
    found = templates.get(name)
    if found is None:
        text = f"index template matching [{name}] not found"
        raise Refusal(404, "resource_not_found_exception", text)
    return {"index_templates": [{"name": name, "index_template": ModelMapping.shown_by(found.shown)}]}


def put_template(templates: dict[str, Template], flavour_name: str, name: str, raw: bytes) -> Json:
    """Create or replace an index template."""
    template = read_template(flavour_name, raw)
    for other, there in templates.items():
        if other == name or there.priority != template.priority:
            continue
        if any(_overlap(one, another) for one, another in product(template.patterns, there.patterns)):
            text = f"index template [{name}] has patterns of the template [{other}] and its priority"
            raise bad_argument(text)
    templates[name] = template
    return {"acknowledged": True}


def delete_template(templates: dict[str, Template], name: str) -> Json:
    """Remove an index template."""
    if templates.pop(name, None) is None:
        raise Refusal(404, "index_template_missing_exception", f"index_template [{name}] missing")
    return {"acknowledged": True}


@lru_cache(maxsize=1024)
def _overlap(one: str, other: str) -> bool:
    """Return whether any name matches both patterns; ``*`` is the only wildcard."""
    if not one or not other:
        return not (one or other).strip("*")
    if one[0] == "*":
        return _overlap(one[1:], other) or _overlap(one, other[1:])
    if other[0] == "*":
        return _overlap(other, one)
    return one[0] == other[0] and _overlap(one[1:], other[1:])
