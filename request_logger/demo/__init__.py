"""The demo: an embedded engine, a server, replayed traffic and the figures that result."""
