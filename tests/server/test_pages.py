"""The pages at /ui: one link answers a question as scikit-learn does; nothing of a document is markup; who may read."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import numpy as np
import pytest
import requests
from flask import Flask
from sklearn import metrics

from request_logger.analytics.formatting import number
from request_logger.cli import main
from request_logger.scoring.registry import build
from request_logger.server import report_routes
from request_logger.settings import Settings
from tests.analytics.stored import document, engine_at, store
from tests.helpers import Server

pytestmark = pytest.mark.engine

RNG = np.random.default_rng(8)
N = 120
NOW = datetime.now(UTC)
HOSTILE = "<script>alert(1)</script>\"'&"
CLASSES = ("ant", "bee", HOSTILE)
MODELS = ("model-a", "model-b")
COUNTRIES = RNG.choice(["DE", "FR"], 2 * N)
# Some are older than a week, but none is at its edge, where the test's time would decide.
DAYS = np.where(RNG.random(2 * N) < 0.6, RNG.uniform(0.1, 6.5, 2 * N), RNG.uniform(7.5, 13, 2 * N))
TRUE = RNG.integers(0, 3, 2 * N)
SAID = np.where(RNG.random(2 * N) < np.repeat([0.6, 0.9], N), TRUE, RNG.integers(0, 3, 2 * N))
INDICES = [f"inference-log-seldon-test-pages-{model}" for model in MODELS]
QUESTION = {"a": MODELS[0], "b": MODELS[1], "in": "test/pages", "where": "country=DE", "from": "now-7d"}
READER = ("reader", "secret")
ASKED = (COUNTRIES == "DE") & (DAYS < 7)


@pytest.fixture(scope="module")
def url(engine: Any, make_server: Callable[..., Server]) -> Iterator[str]:
    """The URL of a server with the pages, which wants a password."""
    client = engine_at(engine.url)
    scorer = build("multiclass", {})
    for number_, (model, index) in enumerate(zip(MODELS, INDICES, strict=True)):
        made = []
        for k in range(number_ * N, (number_ + 1) * N):
            at = NOW - timedelta(days=float(DAYS[k]))
            elements = {"country": str(COUNTRIES[k]), "note": HOSTILE}
            answer = CLASSES[SAID[k]]
            made.append(
                document(
                    scorer, CLASSES[TRUE[k]], answer, at=at, deployment="pages", predictor=model, model=model,
                    request_id=f"{model}/{k}", elements=elements,
                )
            )  # fmt: skip
        store(client, index, made)
    settings = {"UI": "true", "DASHBOARDS_URL": "https://kibana.example/s/x/", "GUNICORN_WORKERS": "1"}
    yield make_server(READ_USER=READER[0], READ_PASSWORD=READER[1], **settings).url
    for index in INDICES:
        client.request("DELETE", f"/{index}")


class Page(HTMLParser):
    """The tables of a page by their captions' or regions' names, and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.links: list[str] = []
        self.tags: set[str] = set()
        self._rows: list[list[str]] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attributes)
        if given.get("role") == "region":
            self._rows = self.tables.setdefault(given["aria-label"] or "", [])
        if tag == "a":
            self.links.append(given["href"] or "")
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self._rows[-1][-1] += data.strip()


def get(url: str, path: str, **parameters: str) -> requests.Response:
    return requests.get(f"{url}{path}?{urlencode(parameters)}", auth=READER, timeout=60)


def expected(side: int) -> tuple[Any, list[str], list[tuple[str, str]]]:
    """Return scikit-learn's figures of a model by class, its wrong ids, and their truths and answers."""
    chosen = [k for k in range(side * N, (side + 1) * N) if ASKED[k]]
    truths, answers = [CLASSES[TRUE[k]] for k in chosen], [CLASSES[SAID[k]] for k in chosen]
    figures = metrics.precision_recall_fscore_support(truths, answers, labels=CLASSES, zero_division=0)
    wrong = [k for k in chosen if TRUE[k] != SAID[k]]
    return figures, [f"{MODELS[side]}/{k}" for k in wrong], [(CLASSES[TRUE[k]], CLASSES[SAID[k]]) for k in wrong]


def test_one_link_answers_the_question(url: str) -> None:
    """How good is model-a against model-b, per class, in a country, this week, and what it got wrong."""
    answer = get(url, "/ui/compare", **QUESTION)
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    (accuracy,) = [row for row in page.tables["Metrics"] if row[0] == "accuracy"]
    classes = next(rows for name, rows in page.tables.items() if name.startswith("Metrics by class"))
    for side, model in enumerate(MODELS):
        figures, wrong, pairs = expected(side)
        right = sum(ASKED[side * N : (side + 1) * N]) - len(wrong)
        assert accuracy[1 + side] == number(right / sum(ASKED[side * N : (side + 1) * N]))
        for place, label in enumerate(CLASSES):
            (row,) = [row for row in classes if row[:2] == [label, model]]
            for column, values in enumerate(figures[:3]):
                assert row[2 + column].split(" (")[0] == number(values[place])
            assert row[5] == number(figures[3][place])
        assert f"Wrong predictions of {model}: {len(wrong)}" in answer.text
        shown = page.tables[f"Wrong predictions of {model}"][1:]
        assert len(shown) == min(5, len(wrong))
        assert {(row[2], row[3]) for row in shown} <= set(pairs)
        # The link to all of them.
        links = [each for each in page.links if "section=errors" in each and f"={model}" in unquote(each)]
        assert len(links) == (len(wrong) > 5)
        for link in links:
            given = parse_qs(urlsplit(link).query)
            given.pop("section")
            asked = [(name, value) for name, values in given.items() for value in values]
            query = urlencode([*asked, ("limit", "50")])
            found = requests.get(f"{url}/v1/errors?{query}", auth=READER, timeout=60).json()
            assert sorted(each["id"] for each in found["documents"]) == sorted(wrong)


def test_one_command_answers_the_question(
    url: str, engine: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = urlsplit(engine.url)
    monkeypatch.setenv("ELASTICSEARCH_HOST", parts.hostname or "")
    monkeypatch.setenv("ELASTICSEARCH_PORT", str(parts.port))
    command = ["compare", *MODELS, "--in", "test/pages", "--where", "country=DE", "--from", "now-7d", "--errors", "50"]
    main([*command, "--json"])
    found = json.loads(capsys.readouterr().out)
    main(command)
    text = capsys.readouterr().out
    for side, model in enumerate(MODELS):
        figures, wrong, _ = expected(side)
        for place, label in enumerate(CLASSES):
            row = found["per_class"]["ab"[side]][label]
            for name, values in zip(("precision", "recall", "f1", "support"), figures, strict=True):
                assert row[name] == pytest.approx(values[place], abs=1e-9)
        assert sorted(each["id"] for each in found["errors"][model]["documents"]) == sorted(wrong)
        assert f"{model}:\nWrong predictions: {len(wrong)}\n" in text


@pytest.mark.parametrize("section", ["quality", "classes", "slices", "drift", "feedback", "errors"])
def test_sections(url: str, section: str) -> None:
    """Each is answered, nothing of a document is markup, and each link of a cell has as many documents as it says."""
    answer = get(url, "/ui", target="test/pages", section=section, by="country", **{"from": "now-7d"})
    assert answer.status_code == 200, answer.text
    page = Page(answer.text)
    assert "script" not in page.tags
    assert "alert(1)" not in re.sub(r"&lt;script&gt;alert\(1\)|data:[^\"]*|%3Cscript%3Ealert%281%29", "", answer.text)
    # The current page and section, and the time span.
    assert answer.text.count('aria-current="') == 3
    if section == "classes":
        ours = DAYS < 7
        matrix = metrics.confusion_matrix(TRUE[ours], SAID[ours], labels=range(3))
        cells = re.findall(r'<td class="s\d+"><a href="([^"]*)">(\d+)</a>', answer.text)
        assert len(cells) == (matrix > 0).sum()
        for link, count in cells:
            given = {name: values[0] for name, values in parse_qs(urlsplit(html.unescape(link)).query).items()}
            assert int(count) == matrix[CLASSES.index(given["truth"])][CLASSES.index(given["answer"])]
    if section == "errors":
        assert "https://kibana.example/s/x/app/discover#/doc/request-logger-predictions/inference-log-" in answer.text


def test_change_since_the_period_before(url: str) -> None:
    """The difference of the shares of both weeks, and its direction."""
    text = get(url, "/ui", target="test/pages", **{"from": "now-7d"}).text
    now, before = DAYS < 7, DAYS > 7
    difference = (TRUE == SAID)[now].mean() - (TRUE == SAID)[before].mean()
    assert re.search(rf"<b class=\"\w+\">\+?{re.escape(number(float(difference)))}</b>", text)
    assert "the period before" not in get(url, "/ui", target="test/pages").text


def test_the_list_links_each_deployment(url: str) -> None:
    answer = get(url, "/ui", where="deployment=pages")
    page = Page(answer.text)
    (row,) = page.tables["Deployments"][1:]
    assert (row[0], row[1]) == ("test/pages", str(2 * N))
    (link,) = [each for each in page.links if each.startswith("ui?target=test%2Fpages")]
    assert requests.get(f"{url}/{link}", auth=READER, timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("path", "parameters", "problem"),
    [
        ("/ui", {"target": "test/pages", "section": "all"}, "section: expected one of quality,"),
        ("/ui", {"target": "test/pages", "metric": "speed"}, "metric: expected one of accuracy,"),
        ("/ui", {"target": "test/pages", "refresh": "1"}, "refresh: expected a number of seconds from 5 to 86400"),
        ("/ui", {"target": "test/pages", "colour": HOSTILE}, "expected parameters of target,"),
        ("/ui", {"target": "test/pages", "section": "errors", "order": HOSTILE}, "order: expected worst or newest"),
        ("/ui", {"target": "test/pages", "section": "errors", "after": "x"}, "after: expected the value of next"),
        ("/ui/compare", {"a": "model-a", "b": "x"}, "no prediction has"),
        ("/ui/compare", {"a": "model-a", "b": "model-a"}, "expected two different names"),
        ("/ui/compare", {"a": "x", "b": "y", "in": "secret-*"}, "target: expected a deployment, or indices of"),
    ],
)
def test_wrong_questions(url: str, path: str, parameters: dict[str, str], problem: str) -> None:
    """A page says in one line what is wrong, with the form to correct it."""
    answer = get(url, path, **parameters)
    assert answer.status_code == 400
    assert problem in html.unescape(answer.text)
    assert "<form" in answer.text
    assert "<script" not in answer.text
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_refresh_and_metric_are_in_the_url(url: str) -> None:
    text = get(url, "/ui", target="test/pages", metric="f1_macro", refresh="60").text
    assert '<meta http-equiv="refresh" content="60">' in text
    assert "F1 macro over time" in text
    assert '<option value="f1_macro" selected>' in text


def test_a_document_as_it_is_stored(url: str, engine: Any) -> None:
    """Of the logger's own indices only."""
    found = get(url, "/v1/document", index=INDICES[0], id="model-a/0")
    stored = requests.get(f"{engine.url}/{INDICES[0]}/_doc/model-a%2F0", timeout=30).json()["_source"]
    assert (found.status_code, found.json()) == (200, stored)
    assert "<script" not in found.text
    assert get(url, "/v1/document", index=INDICES[0], id="none").status_code == 404
    assert get(url, "/v1/document", index="inference-log-none", id="none").status_code == 404
    for index in ("secret", "inference-log-*", f"{INDICES[0]},secret", "cluster:inference-log-x", ".kibana", ""):
        answer = get(url, "/v1/document", index=index, id="x")
        assert (answer.status_code, answer.json()["error"]) == (
            400, "index: expected the name of an index of inference-log-*",
        )  # fmt: skip
    assert get(url, "/v1/document", index=INDICES[0]).status_code == 400
    assert get(url, "/v1/document", index=INDICES[0], id="x" * 513).status_code == 400
    assert get(url, "/v1/errors", target="secret-*").status_code == 400


PATHS = ("/ui", "/ui/compare", "/v1/errors", "/v1/document")


def test_only_readers_see_them(url: str) -> None:
    for path in PATHS:
        for given in (None, ("reader", "wrong")):
            answer = requests.get(f"{url}{path}", auth=given, timeout=30)
            assert (answer.status_code, answer.headers["WWW-Authenticate"][:5]) == (401, "Basic")


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        (Settings(), ()),
        (Settings(read_user="reader", read_password="secret"), ("/v1/errors", "/v1/document")),
        (Settings(ui=True), PATHS),
    ],
)
def test_routes(settings: Settings, shown: tuple[str, ...]) -> None:
    """A server whose settings nobody changed shows no document, and without UI there is no page."""
    app = Flask("routes", static_folder=None)
    report_routes.add_routes(app, settings)
    known = {rule.rule for rule in app.url_map.iter_rules()}
    assert known & set(PATHS) == set(shown)
