"""Inputs that made other programs lose or distort events, after public bug reports (tests/data/field)."""
