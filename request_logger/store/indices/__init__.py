"""Index templates, the catalog of indices, the mapping check, retention."""
