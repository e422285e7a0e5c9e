"""Thresholds of a binary classifier: precision, recall, F1 and value, from the positives per bin of the score."""
