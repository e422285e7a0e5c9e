"""`python -m tests.design`: writes the generated parts of docs/architecture.md anew; starts an engine for the trace."""

from __future__ import annotations

import os
import uuid

from request_logger.embedded_engine import start_engine
from tests.design.page import PAGE, write
from tests.design.trace import way_of_an_event


def main() -> None:
    """Write the page."""
    with start_engine("opensearch", heap="512m") as engine:
        os.environ["ELASTICSEARCH_HOST"], os.environ["ELASTICSEARCH_PORT"] = engine.url.rpartition("/")[2].split(":")
        from request_logger.settings import Settings

        write(way_of_an_event(Settings.from_env(), f"t-{uuid.uuid4().hex[:8]}"))
    print(f"{PAGE} is written")


main()
