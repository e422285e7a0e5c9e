"""Tests of the server: connections, limits, memory, signals."""
