"""Misspelled settings are recognised, and variables of others are not taken for them."""

from __future__ import annotations

from dataclasses import fields

import pytest

from request_logger.settings import Settings
from request_logger.settings_names import misspelled


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ELASTICSEARCH_HOSTT", "ELASTICSEARCH_HOST"),
        ("ELASTICSEARCH_PASSWORD", "ELASTICSEARCH_PASS"),
        ("ELASTICSEARCH_USERNAME", "ELASTICSEARCH_USER"),
        ("SCORERS", "SCORER"),
        ("SCORER_CONFIG", "SCORERS_CONFIG"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("KAFKA_BROKER", "KAFKA_BROKERS"),
    ],
)
def test_a_misspelled_setting(name: str, meant: str) -> None:
    """The line names both, and no value."""
    assert misspelled({name: "secret"}) == [f"{name} is not a setting: did you mean {meant}?"]


def test_what_is_no_misspelled_setting() -> None:
    """Settings themselves; what Kubernetes sets for a Service named elasticsearch or kafka; usual variables."""
    services = [
        f"{name}_{rest}"
        for name in ("ELASTICSEARCH", "KAFKA", "REDIS")
        for rest in (
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_HTTP",
            "PORT_9200_TCP",
            "PORT_9200_TCP_ADDR",
            "PORT_9200_TCP_PORT",
            "PORT_9200_TCP_PROTO",
        )
    ]
    usual = ["PATH", "HOME", "HOSTNAME", "LANG", "TERM", "PORTS", "PWD", "PYTHONPATH", "SSL_CERT_FILE", "http_proxy"]
    settings = [spec.name.upper() for spec in fields(Settings)]
    assert misspelled([*services, *usual, *settings]) == []
