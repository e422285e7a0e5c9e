"""Fault injection, one row per fault: every acknowledged event must be in the engine afterwards, exactly once."""
