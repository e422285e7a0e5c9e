"""`request-logger check`: report values that mappings of existing indices reject or distort, and how to fix them."""
# ruff: noqa: T201  # a command prints

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

from request_logger.commands.engine_access import ask, quiet_engine
from request_logger.commands.selection_args import add_pattern
from request_logger.common.periods import with_periods
from request_logger.settings import Settings
from request_logger.store.client.client import SearchEngine
from request_logger.store.indices.mapping_check import REINDEX, Finding, findings, origin
from request_logger.store.indices.savings import savings
from request_logger.store.indices.templates import INDEX_PATTERNS, TEMPLATE_NAME, VERSION, wanted
from request_logger.store.responses import Refusal, read_mappings, read_templates

PIPELINE = "request-logger-reindex"
_PARTS = ("request", "response", "feedback", "outlier", "drift", "metrics", "prediction")
# Unpacks values that were stored without indexing, and converts a reward true or false to a number.
_SCRIPT = (
    "for (def name : params.parts) { def part = ctx[name]; if (part instanceof Map && part.unindexed instanceof Map) "
    "{ def kept = part.remove('unindexed'); part.remove('unindexed_reason'); part.putAll(kept); } } "
    "if (ctx.feedback instanceof Map && ctx.feedback.reward instanceof Boolean) "
    "{ ctx.feedback.reward = ctx.feedback.reward ? 1 : 0; }"
)
PIPELINE_BODY = {
    "processors": [
        *({"json": {"field": f"{part}.unindexed", "ignore_failure": True}} for part in _PARTS),
        {"script": {"source": _SCRIPT, "params": {"parts": _PARTS}}},
    ]
}


@dataclass(frozen=True)
class Inspected:
    """What is known of an index."""

    name: str
    origin: str
    documents: int
    findings: list[Finding]
    savings: list[Finding]

    @property
    def needs_action(self) -> bool:
        """Whether one of its findings needs an action."""
        return any(finding.needs_action for finding in self.findings)

    @property
    def is_older(self) -> bool:
        """Whether `request-logger setup --upgrade` copies it to an index with the current types."""
        return bool(self.savings) or any(finding.action == REINDEX for finding in self.findings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--copy",
        action="store_true",
        help="print the commands that copy an index to a new one with the template's types and codec also for an "
        "index that would only be smaller",
    )
    add_pattern(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the findings. Status 0: nothing to do, 1: something to do, 2: an invalid setting, or no search engine."""
    settings = Settings.from_env()
    engine = quiet_engine(settings)
    pattern = arguments.pattern or ",".join(
        (*INDEX_PATTERNS, *with_periods(settings.index_name, settings.index_period))
    )
    installed = installed_template(engine)
    # Of an older template the next event makes the current one.
    is_newest = installed.get("version", 0) >= VERSION
    new = installed if is_newest else wanted(settings)[TEMPLATE_NAME]
    indices = list(inspect(engine, pattern, new.get("template", {})))
    advice = _Advice(engine.urls[0], bool(installed), copies_for_size=arguments.copy)
    if arguments.json:
        print(json.dumps([_as_json(index, advice) for index in indices], indent=2))
    else:
        _print(indices, advice, pattern)
    return int(any(index.needs_action for index in indices))


def installed_template(engine: SearchEngine) -> dict[str, Any]:
    """Return the index template that new indices get; empty if none is installed."""
    found = read_templates(
        200, ask(engine, "GET", f"/_index_template/{TEMPLATE_NAME}", missing={"index_templates": []})
    )
    assert not isinstance(found, Refusal)
    return found[0] if found else {}


def inspect(engine: SearchEngine, pattern: str, new: dict[str, Any]) -> Iterator[Inspected]:
    """Yield the indices of a pattern; ``new`` has the mappings and settings of a new index."""
    path = "/" + quote(pattern, safe="*,")
    tolerant = {"ignore_unavailable": "true", "allow_no_indices": "true"}
    mappings = read_mappings(200, ask(engine, "GET", f"{path}/_mapping", params=tolerant, missing={}))
    assert not isinstance(mappings, Refusal)
    settings = ask(engine, "GET", f"{path}/_settings", params={**tolerant, "flat_settings": "true"}, missing={})
    counts = ask(engine, "GET", f"{path}/_stats/docs")["indices"] if mappings else {}
    for name in sorted(mappings):
        mapping = mappings[name]
        flat = settings.get(name, {}).get("settings", {})
        documents = counts.get(name, {}).get("primaries", {}).get("docs", {}).get("count", 0)
        yield Inspected(name, origin(mapping), documents, findings(mapping, flat), savings(mapping, flat, new))


def _as_json(index: Inspected, advice: _Advice) -> dict[str, Any]:
    return {
        "index": index.name,
        "origin": index.origin,
        "documents": index.documents,
        "needs_action": index.needs_action,
        "is_older": index.is_older,
        "findings": [{**asdict(finding), "needs_action": finding.needs_action} for finding in index.findings],
        "savings": [
            {"field": saving.field, "found": saving.found, "happens": saving.happens} for saving in index.savings
        ],
        "commands": list(advice.commands(index)),
    }


def _print(indices: list[Inspected], advice: _Advice, pattern: str) -> None:
    for index in indices:
        made_by = "this logger" if index.origin == "ours" else f"the {index.origin}"
        print(f"{index.name}: mapping of {made_by}, {index.documents:,} documents")
        for finding in [*index.findings, *index.savings]:
            sign = "!" if finding.needs_action else "-"
            print(f"  {sign} {finding.field} ({finding.found}): {finding.happens}")
        if any(advice.commands(index)):
            print("  run these commands in order, with your credentials:")
            print("\n".join(f"    {command}" for command in advice.commands(index)))
    older = [index.name for index in indices if index.is_older]
    if older:
        print(f"`request-logger setup --upgrade` copies {len(older)} of them to indices with the current types:")
        print("\n".join(f"  {name}" for name in older))
    todo = sum(index.needs_action for index in indices)
    if not indices:
        print(f"No index matches {pattern}: nothing to do.")
    else:
        print(f"{len(indices)} indices: {todo} need changes (!), {len(indices) - todo} don't.")


@dataclass(frozen=True)
class _Advice:
    """Generates the curl commands that fix an index."""

    url: str
    template_installed: bool
    copies_for_size: bool
    """Whether an index that would only be smaller is copied, too."""

    def commands(self, index: Inspected) -> Iterator[str]:
        actions = dict.fromkeys(finding.action for finding in index.findings if finding.needs_action)
        for action in actions:
            if action != REINDEX:
                name, _, value = action.partition("=")
                yield self._curl("PUT", f"/{quote(index.name, safe='')}/_settings", {name: json.loads(value)})
        if REINDEX in actions or (self.copies_for_size and index.savings):
            yield from self._reindex(index.name)

    def _reindex(self, name: str) -> Iterator[str]:
        """Copy to an index with the logger's types, which then gets the old index's name as an alias.

        The second copy has the changes made during the first. Events are answered 503 only during the second.
        """
        new = f"{name}.v2"
        copy = {
            "conflicts": "proceed",
            "source": {"index": name},
            "dest": {"index": new, "version_type": "external", "pipeline": PIPELINE},
        }
        swap = {"actions": [{"remove_index": {"index": name}}, {"add": {"index": new, "alias": name}}]}
        if not self.template_installed:
            yield "# first send the server one event: it installs the index template that the copy needs"
        yield self._curl("PUT", f"/_ingest/pipeline/{PIPELINE}", PIPELINE_BODY)
        yield self._curl("POST", "/_reindex", copy)
        yield self._curl("PUT", f"/{quote(name, safe='')}/_settings", {"index.blocks.write": True})
        # A copy reads searchable documents: the latest events are searchable only after a refresh.
        yield self._curl("POST", f"/{quote(name, safe='')}/_refresh", None)
        yield self._curl("POST", "/_reindex", copy)
        yield self._curl("POST", "/_aliases", swap)

    def _curl(self, method: str, path: str, body: dict[str, Any] | None) -> str:
        line = f"curl -X{method} '{self.url}{path}'"
        if body is None:
            return line
        # Within a shell's single quotes, a single quote is written '\''.
        text = json.dumps(body).replace("'", "'\\''")
        return f"{line} -H 'Content-Type: application/json' -d '{text}'"
