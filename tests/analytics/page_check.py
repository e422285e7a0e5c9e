"""Checks a report as one HTML page: it fetches nothing, and a screen reader gets all that it shows."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise


class Page(HTMLParser):
    """What a page has of what a reader, and one who can't see it, needs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "link", "input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.append((self.open[-1], data))

    def all(self, *names: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def check_page(text: str, own: tuple[str, ...] = ()) -> Page:
    """The page fetches nothing, and a screen reader gets all that it shows. ``own``: where its links may lead."""
    page = Page(text)
    assert page.all("script", "iframe", "img", "object", "embed", "base") == []
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), name
            if name in ("src", "href", "action", "srcset", "data", "poster", "xlink:href", "formaction"):
                assert value.startswith(("#", "data:", *own)), value
    styles = "".join(data for tag, data in page.texts if tag == "style")
    assert not re.search(r"url\(|@import|//", styles)
    assert [a.get("lang") for a in page.all("html")] == ["en"]
    assert "width=device-width" in page.all("meta")[1]["content"]
    # Of titles, that of the page and those of hover values have no id.
    assert sum("id" in attributes for attributes in page.all("title")) == len(page.all("svg"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for picture in page.all("svg"):
        assert picture["role"] == "img"
        assert set(picture["aria-labelledby"].split()) <= set(ids)
    assert len(page.all("table")) == len(page.all("caption"))
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    assert {a["id"] for a in page.all("input", "select", "textarea")} == {a["for"] for a in page.all("label")}
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    return page
