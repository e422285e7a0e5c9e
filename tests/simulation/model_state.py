"""What the model engine keeps: indices, templates, pipelines, settings of the cluster."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any

from tests.simulation.model_flavour import Flavour, Refusal, bad_argument, because, no_index
from tests.simulation.model_index import ModelIndex
from tests.simulation.model_names import check_name

Json = dict[str, Any]


class State:
    """All that an engine keeps. ``now`` gives the seconds since 1970."""

    def __init__(self, flavour: Flavour, now: Callable[[], float]) -> None:
        self.flavour = flavour
        self.now = now
        self.indices: dict[str, ModelIndex] = {}
        self.templates: dict[str, Json] = {}
        self.pipelines: dict[str, Json] = {}
        self.cluster: dict[str, str] = {}
        self._aliases: dict[str, list[ModelIndex]] | None = None

    def aliases(self) -> dict[str, list[ModelIndex]]:
        """Return the indices behind each alias; a data stream is an alias of its last index."""
        if self._aliases is None:
            self._aliases = {}
            for index in self.indices.values():
                for alias in index.aliases:
                    self._aliases.setdefault(alias, []).append(index)
        return self._aliases

    def aliases_changed(self) -> None:
        """Note that aliases or indices have changed."""
        self._aliases = None

    def template_of(self, name: str) -> Json | None:
        """Return the template that a new index of a name gets."""
        found = [
            template
            for template in self.templates.values()
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in template["index_patterns"])
        ]
        return max(found, key=lambda template: int(template.get("priority", 0)), default=None)

    def make(self, name: str, body: Json | None = None) -> ModelIndex:
        """Make an index. Raises Refusal."""
        body = body or {}
        check_name(name)
        if name in self.indices:
            text = f"index [{name}] already exists"
            raise Refusal(400, "resource_already_exists_exception", text, index=name)
        if name in self.aliases():
            text = f"Invalid index name [{name}], already exists as alias"
            raise Refusal(400, "invalid_index_name_exception", text, index=name)
        template = self.template_of(name) or {}
        if "data_stream" in template:
            raise bad_argument(
                f"cannot create index with name [{name}], because it matches with a data stream template"
            )
        return self._made(name, template, body)

    def _made(self, name: str, template: Json, body: Json) -> ModelIndex:
        inner = template.get("template", {})
        own = flat(body.get("settings", {}))
        check_settings(self.flavour, own)
        settings = {key: str_of(value) for key, value in {**flat(inner.get("settings", {})), **own}.items()}
        index = ModelIndex(name, self.flavour, settings)
        for mappings in (inner.get("mappings"), body.get("mappings")):
            if mappings:
                try:
                    index.mapping.merge(mappings)
                except Refusal as refusal:
                    if refusal.type != "mapper_parsing_exception":
                        raise
                    text = f"Failed to parse mapping: {refusal.reason}"
                    raise Refusal(400, refusal.type, text, **because(refusal.type, refusal.reason)) from None
        for alias, about in {**inner.get("aliases", {}), **body.get("aliases", {})}.items():
            index.aliases[alias] = dict(about)
        self.indices[name] = index
        self.aliases_changed()
        return index

    def make_for_write(self, name: str) -> ModelIndex:
        """Make the index that a write to a name needs. Raises Refusal."""
        template = self.template_of(name)
        why_not = self._why_not_made(name)
        if why_not:
            raise no_index(name, why_not)
        if template is None or "data_stream" not in template:
            return self.make(name)
        check_name(name)
        index = self._made(f".ds-{name}-000001", template, {})
        index.data_stream = name
        index.hidden = True
        index.aliases[name] = {"is_write_index": True}
        self.aliases_changed()
        return index

    def _why_not_made(self, name: str) -> str:
        """Say why a write may not make an index; empty where it may."""
        rule = self.cluster.get("action.auto_create_index", "true")
        if rule in ("true", "false"):
            return "" if rule == "true" else " and [action.auto_create_index] is [false]"
        for part in rule.split(","):
            if fnmatch.fnmatchcase(name, part.lstrip("+-")):
                return f" and [action.auto_create_index] contains [{part}]" if part.startswith("-") else ""
        return " and [action.auto_create_index] doesn't match"


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
    """Return flat settings as the engine shows them: nested."""
    made: Json = {}
    for name, value in settings.items():
        *parts, last = name.split(".")
        inner = made
        for part in parts:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return made


def str_of(value: Any) -> str:
    """Return a setting's value as the engine keeps it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
