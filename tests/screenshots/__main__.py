"""Takes the screenshots of docs/page.md: ``python -m tests.screenshots [--engine URL] [--dir docs/images]``.

It starts a search engine (unless one is given, which must be empty) and a server, sends the predictions of `traffic`,
and opens each page in Chromium: at a desk, on a phone by night, and at a desk by night.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import requests
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from request_logger.demo.local_server import LocalServer, engine_settings
from request_logger.demo.story import send
from request_logger.embedded_engine import start_engine
from tests.screenshots.traffic import messages, predictions

_CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
# Name of the end of the file -> width, scheme of colours, and how much of a long page is of use in the docs.
SCREENS = {"": (1280, "light", 1500), "-phone": (390, "dark", 1300), "-dark": (1280, "dark", 1500)}
PAGES = {
    "deployments": "ui",
    "quality": "ui?target=demo/breast-cancer&by=country",
    "regression": "ui?target=demo/diabetes&by=predictor",
    "classes": "ui?target=demo/iris&section=classes&from=now-7d",
    "slices": "ui?target=demo/breast-cancer&section=slices",
    "drift": "ui?target=demo/breast-cancer&section=drift&from=now-4d",
    "feedback": "ui?target=demo/wine&section=feedback",
    "errors": "ui?target=demo/iris&section=errors&from=now-7d&where=country=DE",
    "compare": "ui/compare?a=model-a&b=model-b&in=demo/breast-cancer",
}
# Few enough that each is small, more than the pages have besides the shades of their edges.
_COLOURS = 80


def main() -> None:
    """Take the screenshots."""
    parser = argparse.ArgumentParser(prog="python -m tests.screenshots", description=__doc__)
    parser.add_argument("--engine", metavar="URL", help="an empty search engine; default: start one")
    parser.add_argument("--dir", type=Path, default=Path("docs/images"), help="default: docs/images")
    parser.add_argument("--keep", action="store_true", help="use what the engine has instead of sending predictions")
    arguments = parser.parse_args()
    arguments.dir.mkdir(parents=True, exist_ok=True)
    with _engine(arguments.engine) as url, LocalServer({**engine_settings(url), "UI": "true"}) as server:
        if not arguments.keep:
            made = predictions(datetime.now(UTC))
            send(server.url, list(messages(made)), connections=8, tell=lambda _: None)
            requests.post(f"{url}/_refresh", timeout=60).raise_for_status()
            print(f"{len(made):,} predictions stored")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=_CHROMIUM)
            for name, path in PAGES.items():
                for end in SCREENS:
                    _shoot(browser, f"{server.url}/{path}", arguments.dir / f"{name}{end}.png", end)
            browser.close()


@contextlib.contextmanager
def _engine(url: str | None) -> Iterator[str]:
    if url:
        yield url
        return
    with start_engine("opensearch", heap="512m", progress=print) as engine:
        yield engine.url


def _shoot(browser: Browser, url: str, path: Path, screen: str) -> None:
    width, scheme, height = SCREENS[screen]
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
    answer = page.goto(url, timeout=90_000)
    if answer is None or answer.status != 200:
        raise SystemExit(f"{url}: {answer and answer.status}")
    whole = page.evaluate("document.documentElement.scrollHeight")
    taken = page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": width, "height": min(whole, height)})
    page.close()
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
