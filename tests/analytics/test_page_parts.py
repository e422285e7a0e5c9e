"""Links, downloads and the matrix of the pages."""

from __future__ import annotations

import csv
import io
import json
from base64 import b64decode
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET

import pytest

from request_logger.analytics.page.downloads import of_picture, of_table
from request_logger.analytics.page.matrix import MOST_LABELS, matrix_of
from request_logger.analytics.page.svg import file_of, picture
from request_logger.analytics.page.view import Section, View

HOSTILE = "<b>\"'&?#=x\ny"


def query(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query)


def test_links_keep_the_view() -> None:
    """Each section is the same view; what only the errors have stays there; conditions are added once."""
    view = View({"target": HOSTILE, "from": "now-7d", "where": "a=1\nb=2", "truth": "x", "section": "errors"})
    links = {link.text: link for link in view.sections()}
    assert len(links) == len(Section)
    assert [link.text for link in links.values() if link.is_current] == ["Errors"]
    kept = query(links["Slices"].url)
    assert kept == {"target": [HOSTILE], "from": ["now-7d"], "where": ["a=1", "b=2"], "section": ["slices"]}
    assert query(view.where("b=2", "c=3"))["where"] == ["a=1", "b=2", "c=3"]
    (current,) = [link for link in view.presets() if link.is_current]
    assert current.text == "7 days"
    assert query(view.url({"after": HOSTILE}))["after"] == [HOSTILE]
    assert view.document("i", HOSTILE).startswith("v1/document?")
    assert view.dashboard("i", "x") == ""


def test_links_of_the_comparison_lead_up() -> None:
    view = View({"a": "x", "b": "y", "in": "n/d"}, "../", "https://kibana/app/discover#/doc/p/")
    assert urlsplit(view.page("n/d")).path == "../ui"
    assert urlsplit(view.compare("x", "y")).path == "../ui/compare"
    assert all(urlsplit(link.url).path == "../ui/compare" for link in view.presets())
    assert view.dashboard("i/ä", HOSTILE).startswith("https://kibana/app/discover#/doc/p/i%2F%C3%A4?id=%3Cb%3E")


def content(url: str) -> str:
    head, _, text = url.partition(",")
    assert head.endswith(";charset=utf-8")
    return unquote(text)


def test_a_table_as_csv_and_json() -> None:
    """Numbers are numbers, a dash is nothing, formulas are text, and two columns of one name are told apart."""
    rows: list[tuple[Any, ...]] = [
        ("a", "1,234", "0.5", "-"),
        ("=1+1", "-2", "1e-05", "0.1 to 0.2"),
        (HOSTILE, 7, 0.25, None),
    ]
    header = ("name", "n", "value", "value")
    comma, objects = of_table("A title: <b>", header, rows)
    assert (comma.name, objects.name) == ("a-title-b.csv", "a-title-b.json")
    lines = list(csv.reader(io.StringIO(content(comma.url))))
    assert lines == [
        list(header), ["a", "1234", "0.5", ""], ["'=1+1", "-2", "1e-05", "0.1 to 0.2"], [HOSTILE, "7", "0.25", ""],
    ]  # fmt: skip
    first, second, third = json.loads(content(objects.url))
    assert first == {"name 1": "a", "n 2": 1234, "value 3": 0.5, "value 4": None}
    assert (second["name 1"], third["name 1"]) == ("=1+1", HOSTILE)
    assert not set('"<>& \n') & set(comma.url + objects.url)


def test_a_picture_on_its_own() -> None:
    """It is well-formed, and has its style."""
    file = of_picture("Over <time>", file_of(picture("k", "Over <time>", "It & that")))
    assert file.name == "over-time.svg"
    root = ET.fromstring(b64decode(file.url.removeprefix("data:image/svg+xml;base64,")))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    (style,) = root.iter("{http://www.w3.org/2000/svg}style")
    assert "--accent:" in (style.text or "")


def test_a_matrix_of_few_classes() -> None:
    found = matrix_of({"a": {"a": 3, "b": 1}, "c": {"a": 2}})
    assert found is not None
    assert found.labels == ["a", "b", "c"]
    assert [(truth, [cell.count for cell in cells]) for truth, cells in found.rows] == [
        ("a", [3, 1, 0]), ("b", [0, 0, 0]), ("c", [2, 0, 0]),
    ]  # fmt: skip
    assert [cell.tenth for cell in found.rows[0][1]] == [8, 2, 0]
    assert matrix_of({}) is None


@pytest.mark.parametrize("classes", [MOST_LABELS, MOST_LABELS + 1])
def test_many_classes_have_their_confusions(classes: int) -> None:
    counts = {f"c{k:02}": {f"c{k:02}": 50, f"c{(k + 1) % classes:02}": k} for k in range(classes)}
    found = matrix_of(counts)
    assert found is not None
    if classes > MOST_LABELS:
        assert found.rows == []
        first = found.confusions[0]
        assert (first.truth, first.answer, first.count) == (f"c{classes - 1:02}", "c00", classes - 1)
        assert first.share == pytest.approx((classes - 1) / (50 + classes - 1))
        assert all(cell.truth != cell.answer for cell in found.confusions)
    else:
        assert len(found.rows) == classes
