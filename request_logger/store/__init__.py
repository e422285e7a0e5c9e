"""The search engine: client, indices and their mappings, group commit, retries and dead letters."""
