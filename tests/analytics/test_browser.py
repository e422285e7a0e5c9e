"""The report's page and `/ui` in a real browser: they fetch nothing, fit a phone, and axe-core finds nothing serious.

Where there is no Chromium the tests are skipped: `apt-get install chromium`, or name one in CHROMIUM. With SCREENSHOTS
set to a folder, each page is kept there as a picture.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, sync_playwright

from request_logger.cli import main
from tests.analytics.stored import engine_at, store
from tests.analytics.test_report import INDICES, stored
from tests.helpers import Server

_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium, or set CHROMIUM"),
]

# What a page looks like to a person at a desk, and to one with a phone by night.
SCREENS = {"desktop": (1280, "light"), "phone": (390, "dark")}
QUERIES = {
    "of nothing": "?target=no-such",
    "of one": "?target=report-binary&by=area",
    "of all": "",
    "classes": "?target=report-multiclass&section=classes",
    "errors": "?target=report-multiclass&section=errors",
    "compare": "/compare?a=north&b=west&by=area&in=report-regression",
    "wrong": "?target=report-binary&window=never",
}
GRAVE = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM)
        yield started
        started.close()


@pytest.fixture(scope="module")
def pages(engine: Any, make_server: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The URL of each page by its name: the reports of three tasks as files, and what the server shows."""
    client, folder = engine_at(engine.url), tmp_path_factory.mktemp("pages")
    for kind, index in INDICES.items():
        store(client, index, stored(kind))
    found = {}
    parts = urlsplit(engine.url)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("ELASTICSEARCH_HOST", parts.hostname or "")
        environment.setenv("ELASTICSEARCH_PORT", str(parts.port))
        for kind in INDICES:
            path = folder / f"{kind}.html"
            assert main(["report", f"report-{kind}", "--by", "area", "--html", str(path)]) == 0
            found[kind] = path.as_uri()
    url = make_server(UI="true").url
    yield found | {f"ui {name}": f"{url}/ui{query}" for name, query in QUERIES.items()}
    for index in INDICES.values():
        client.request("DELETE", f"/{index}")


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", [*INDICES, *(f"ui {name}" for name in QUERIES)])
def test_page(name: str, screen: str, pages: dict[str, str], browser: Browser) -> None:
    """Nothing is asked of anybody else, nothing is complained of, nothing sticks out to the right."""
    width, scheme = SCREENS[screen]
    url = pages[name]
    assert not url.startswith("http") or requests.get(url, timeout=30).headers["Content-Type"].startswith("text/html")
    asked: list[str] = []
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(url)
    page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{name}-{screen}.png", full_page=True)
    beyond = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    wrong = Axe().run(page).response["violations"]
    page.close()
    own = urlsplit(url)
    assert asked
    assert {urlsplit(each)[:2] for each in asked if not each.startswith("data:")} == {own[:2]}, asked
    # A browser says of itself that the answer to a wrong question is a 400.
    assert [each for each in complaints if "status of 400" not in each or name != "ui wrong"] == []
    assert beyond <= 0
    assert not [each for each in wrong if each["id"] in ("landmark-unique", "region")]
    grave = [(each["id"], each["nodes"][0]["html"][:200]) for each in wrong if each["impact"] in GRAVE]
    assert grave == []


def test_downloads(pages: dict[str, str], browser: Browser) -> None:
    """A browser saves each kind of file from the page itself, with its name."""
    page = browser.new_page()
    page.goto(pages["binary"])
    for kind in ("SVG", "CSV", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"ROC curve as {kind}").click()
        assert download.value.suggested_filename == f"roc-curve.{kind.lower()}"
        assert Path(download.value.path()).stat().st_size > 100
    page.close()
