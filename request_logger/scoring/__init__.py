"""Computes a document's `metrics` from its prediction and feedback: chooses the scorer, and calls it."""
