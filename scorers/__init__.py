"""Scorers: one module a task, each a pure function from a (truth, prediction) pair to fields that roll up.

They import nothing of the request logger. :mod:`scorers.base` is all that the author of a new one reads.
"""
