"""Everything that breaks, one row each: what was acknowledged is in the engine afterwards, and there once."""
