"""Erases what is stored of a person's predictions: in all indices and on disk, audited. See docs/privacy.md."""
