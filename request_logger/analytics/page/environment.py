"""The templates of the pages, with the formatting of figures."""

from __future__ import annotations

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from request_logger.analytics import formatting
from request_logger.analytics.page import downloads
from request_logger.analytics.page.style import STYLE

_FILTERS = ("number", "interval", "percent", "duration", "words", "remarks")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("request_logger.analytics.page", "templates"),
        # Enabled explicitly, since jinja's autoescape by name doesn't cover .jinja; document content is never markup.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(formatting, name) for name in _FILTERS})
    environment.globals.update(
        bounded=formatting.bounded,
        downloads=downloads.of_table,
        picture=downloads.of_picture,
        plot_style=Markup(STYLE),  # noqa: S704  # our own text
    )
    return environment


def template(name: str) -> Template:
    """Return a template by the name of its file."""
    return _environment().get_template(f"{name}.html.jinja")
