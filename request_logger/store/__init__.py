"""The engine: client choice, index templates, group commit, retries and dead letters."""
