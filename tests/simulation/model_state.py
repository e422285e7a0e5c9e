"""State of the model engine: indices, templates, pipelines, cluster settings."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from typing import Any

from tests.simulation.model_flavour import Flavour, Refusal, bad_argument, because, no_index
from tests.simulation.model_index import ModelIndex
from tests.simulation.model_names import check_name
from tests.simulation.model_settings import check_settings, flat, str_of
from tests.simulation.model_templates import Template

Json = dict[str, Any]


class State:
    """All state of an engine. ``now`` returns seconds since 1970."""

    def __init__(self, flavour: Flavour, now: Callable[[], float]) -> None:
        self.flavour = flavour
        self.now = now
        self.indices: dict[str, ModelIndex] = {}
        self.templates: dict[str, Template] = {}
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

    def template_of(self, name: str) -> Template | None:
        """Return the template for a new index of this name."""
        found = [template for template in self.templates.values() if template.matches(name)]
        return max(found, key=lambda template: template.priority, default=None)

    def make(self, name: str, body: Json | None = None) -> ModelIndex:
        """Create an index. Raises Refusal."""
        body = body or {}
        check_name(name)
        if name in self.indices:
            text = f"index [{name}] already exists"
            raise Refusal(400, "resource_already_exists_exception", text, index=name)
        if name in self.aliases():
            text = f"Invalid index name [{name}], already exists as alias"
            raise Refusal(400, "invalid_index_name_exception", text, index=name)
        template = self.template_of(name)
        if template is not None and template.is_data_stream:
            raise bad_argument(
                f"cannot create index with name [{name}], because it matches with a data stream template"
            )
        return self._made(name, template, body)

    def _made(self, name: str, template: Template | None, body: Json) -> ModelIndex:
        settings = dict(template.settings) if template is not None else {}
        aliases = dict(template.aliases) if template is not None else {}
        if body:
            own = flat(body.get("settings", {}))
            check_settings(self.flavour, own)
            settings |= {key: str_of(value) for key, value in own.items()}
            aliases |= body.get("aliases", {})
        index = ModelIndex(name, self.flavour, settings, template.mapping if template is not None else None)
        _merge(index, body.get("mappings", {}))
        index.aliases = {alias: dict(about) for alias, about in aliases.items()}
        index.settings["index.creation_date"] = str(int(self.now() * 1000))
        self.indices[name] = index
        self.aliases_changed()
        return index

    def make_for_write(self, name: str) -> ModelIndex:
        """Create the index for a write to a missing name. Raises Refusal."""
        template = self.template_of(name)
        why_not = self._why_not_made(name)
        if why_not:
            raise no_index(name, why_not)
        if template is None or not template.is_data_stream:
            return self.make(name)
        check_name(name)
        index = self._made(f".ds-{name}-000001", template, {})
        index.data_stream = name
        index.aliases[name] = {"is_write_index": True}
        self.aliases_changed()
        return index

    def _why_not_made(self, name: str) -> str:
        """Return why a write may not create an index, or an empty text."""
        rule = self.cluster.get("action.auto_create_index", "true")
        if rule in ("true", "false"):
            return "" if rule == "true" else " and [action.auto_create_index] is [false]"
        for part in rule.split(","):
            if fnmatch.fnmatchcase(name, part.lstrip("+-")):
                return f" and [action.auto_create_index] contains [{part}]" if part.startswith("-") else ""
        return " and [action.auto_create_index] doesn't match"


def _merge(index: ModelIndex, mappings: Json) -> None:
    try:
        index.mapping.merge(mappings)
    except Refusal as refusal:
        if refusal.type != "mapper_parsing_exception":
            raise
        text = f"Failed to parse mapping: {refusal.reason}"
        raise Refusal(400, refusal.type, text, **because(refusal.type, refusal.reason)) from None
