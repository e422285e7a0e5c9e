"""The settings of forwarding: what is invalid is one line that names the setting and quotes no value."""

from __future__ import annotations

import pytest

from request_logger.common.header_lines import parse_header_lines
from request_logger.settings import Settings, SettingsError

URL = "FORWARD_URL: expected a URL with http:// or https://, a host, and no user"
HEADERS = "FORWARD_HEADERS: expected"
OURS = f"{HEADERS} none of connection, content-length, content-type, host, transfer-encoding and ce-..."


@pytest.mark.parametrize(
    "url",
    [
        "sink:80",
        "ftp://sink",
        "http://",
        "http:///x",
        "http://u:secret@sink",
        "http://sink:x",
        "http://s ink",
        "http://[",
    ],
)
def test_no_url(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"FORWARD_URL": url})
    assert str(caught.value) == URL


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("secret", f"{HEADERS} Name: value in line 1, found no colon"),
        ("A: b\n\nsecret", f"{HEADERS} Name: value in line 3, found no colon"),
        ("a secret: b", f"{HEADERS} names of letters, digits and hyphens"),
        (": b", f"{HEADERS} names of letters, digits and hyphens"),
        ("A: secret\x01", f"{HEADERS} values without control characters, in latin-1"),
        ("A: secret\u4e00", f"{HEADERS} values without control characters, in latin-1"),
        (
            "Ce-Id: secret",
            f"{HEADERS} none of connection, content-length, content-type, host, transfer-encoding and ce-...",
        ),
        (
            "HOST: secret",
            f"{HEADERS} none of connection, content-length, content-type, host, transfer-encoding and ce-...",
        ),
        ("{secret", f"{HEADERS.replace('expected', '')}expected a JSON object or lines of Name: value"),
        ('{"A": 7}', f"{HEADERS} a JSON object of texts"),
    ],
)
def test_no_headers(text: str, line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"FORWARD_URL": "https://sink", "FORWARD_HEADERS": text})
    assert str(caught.value) == line
    assert "secret" not in str(caught.value)


def test_headers() -> None:
    """Lines or JSON; a later line with the same name replaces an earlier one; a value may have colons, or be empty."""
    expected = {"authorization": "Bearer a:b=", "x-empty": ""}
    assert parse_header_lines("X-Empty: 1\r\nAuthorization:  Bearer a:b=  \nx-empty:\n") == expected
    assert parse_header_lines('{"Authorization": "Bearer a:b=", "X-Empty": ""}') == expected
    assert parse_header_lines("") == {}


def test_they_are_secret() -> None:
    assert "hidden" not in repr(Settings(forward_headers="A: hidden"))
