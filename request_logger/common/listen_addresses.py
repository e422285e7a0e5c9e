"""The addresses that a server listens on: all of IPv4 and IPv6, unless HOST names one."""

from __future__ import annotations

import socket

_ALL_IPV4 = "0.0.0.0"  # noqa: S104  # probes and senders come from outside
_ALL_IPV6 = "::"


def addresses(host: str) -> list[str]:
    """Return the addresses to listen on for HOST: two if an IPv6 socket doesn't accept IPv4 connections."""
    if host:
        return [host.strip("[]")]
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            # Fails if the system supports IPv6 but has no IPv6 address.
            probe.bind((_ALL_IPV6, 0))
            takes_both = not probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return [_ALL_IPV4]
    return [_ALL_IPV6] if takes_both else [_ALL_IPV4, _ALL_IPV6]


def with_port(address: str, port: int) -> str:
    """Return address and port as in a URL."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
