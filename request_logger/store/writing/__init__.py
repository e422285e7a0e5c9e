"""Group commit: plans of changes, carried out against the search engine in few, large requests."""
