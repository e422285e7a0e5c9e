"""The demo: an embedded engine, a local server, replayed traffic, and the resulting metrics."""
