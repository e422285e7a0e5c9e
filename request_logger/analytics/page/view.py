"""What a page of the server shows, as its URL says it: each link is the same view with some parameters changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote, urlencode


class Section(StrEnum):
    """The sections of a deployment's pages, each with searches of its own."""

    QUALITY = "quality"
    CLASSES = "classes"
    SLICES = "slices"
    DRIFT = "drift"
    FEEDBACK = "feedback"
    ERRORS = "errors"


# Name -> the start and the end of the time span.
_PRESETS = {
    "All": ("", ""),
    "Today": ("now/d", ""),
    "7 days": ("now-7d", ""),
    "30 days": ("now-30d", ""),
    "Previous 7 days": ("now-14d", "now-7d"),
    "Previous 30 days": ("now-60d", "now-30d"),
}
# What only one section reads: other sections' links leave it out.
_OF_ERRORS = ("truth", "answer", "class", "scorer", "order", "after")


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a navigation; ``is_current``: whether it leads to what is shown."""

    text: str
    url: str
    is_current: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """The parameters of a page; ``up`` leads from its URL to the server's root, as a relative URL.

    ``dashboards`` is the URL of a document in Kibana or OpenSearch Dashboards, without its index and id; empty: none.
    ``made_at``: when the page was computed.
    """

    parameters: Mapping[str, str]
    up: str = ""
    dashboards: str = ""
    made_at: str = ""

    def get(self, name: str) -> str:
        """Return a parameter, empty if it is not given."""
        return self.parameters.get(name, "")

    def without(self, name: str) -> View:
        """Return the view without a parameter."""
        return replace(self, parameters={each: value for each, value in self.parameters.items() if each != name})

    def url(self, changes: Mapping[str, str]) -> str:
        """Return the URL of this deployment's page with some parameters changed; an empty one is left out."""
        return self._url("ui", {**self.parameters, **changes})

    def section(self, section: str, changes: Mapping[str, str] | None = None) -> str:
        """Return the URL of a section; what only another section reads is left out."""
        kept = {name: value for name, value in self.parameters.items() if name not in _OF_ERRORS}
        return self._url("ui", {**kept, "section": section, **(changes or {})})

    def where(self, *conditions: str, section: str = "") -> str:
        """Return the URL of a section (of this one if empty) restricted further by conditions."""
        lines = "\n".join(dict.fromkeys([*filter(None, self.get("where").splitlines()), *conditions]))
        return self.section(section or self.get("section"), {"where": lines})

    def errors(self, found: Mapping[str, Any]) -> str:
        """Return the URL of the section Errors with all of some listed wrong predictions (`wrong_predictions`)."""
        where = "\n".join(found.get("where", []))
        own = {"target": found["target"], "section": Section.ERRORS, "where": where, "scorer": found.get("scorer", "")}
        return self._url("ui", {**own, **{name: self.get(name) for name in ("from", "to", "by_date", "mature")}})

    def compare(self, a: str = "", b: str = "", target: str = "") -> str:
        """Return the URL of the comparison of two parts of a deployment, by default of this one."""
        kept = {name: self.get(name) for name in ("from", "to", "by_date", "where", "mature")}
        return self._url("ui/compare", {"a": a, "b": b, "in": target or self.get("target") or self.get("in"), **kept})

    def page(self, target: str = "") -> str:
        """Return the URL of a deployment's page over the same time span, or of the list of deployments."""
        return self._url("ui", {"target": target, **{name: self.get(name) for name in ("from", "to", "where")}})

    def document(self, index: str, id: str) -> str:
        """Return the URL of a stored document."""
        return f"{self.up}v1/document?{urlencode({'index': index, 'id': id})}"

    def dashboard(self, index: str, id: str) -> str:
        """Return the URL of a document in Kibana or OpenSearch Dashboards; empty where that is unknown."""
        return f"{self.dashboards}{quote(index, safe='')}?{urlencode({'id': id})}" if self.dashboards else ""

    def sections(self) -> Iterator[Link]:
        """Yield a link per section."""
        for section in Section:
            is_current = section == (self.get("section") or Section.QUALITY)
            yield Link(section.capitalize(), self.section(section), is_current)

    def presets(self) -> Iterator[Link]:
        """Yield a link per usual time span."""
        for name, (start, end) in _PRESETS.items():
            is_current = (self.get("from"), self.get("to")) == (start, end)
            yield Link(
                name, self._url(self._own, {**self.parameters, "after": "", "from": start, "to": end}), is_current
            )

    @property
    def _own(self) -> str:
        return "ui/compare" if self.up else "ui"

    def _url(self, path: str, parameters: Mapping[str, str]) -> str:
        kept = [
            (name, line)
            for name, value in parameters.items()
            for line in (value.splitlines() if name in ("where", "by") else [value])
            if line
        ]
        return f"{self.up}{path}" + (f"?{urlencode(kept)}" if kept else "")
