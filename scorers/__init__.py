"""Scorers, one module per task: pure functions from a (truth, prediction) pair to fields that can be rolled up.

They don't import the request logger. :mod:`scorers.base` has everything that the author of a new scorer needs.
"""
