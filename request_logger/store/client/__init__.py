"""The search engine's HTTP API: connection, transport, scan."""
