"""The option --engine, which all commands of `ENGINE_COMMANDS` have."""

from __future__ import annotations

import argparse


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the search engine."""
    parser.add_argument(
        "--engine",
        metavar="URL",
        help="the search engine, such as http://localhost:9200; default: ELASTICSEARCH_HOST, ELASTICSEARCH_PORT and "
        "ELASTICSEARCH_PROTOCOL. The user and the certificates always come from the environment",
    )
