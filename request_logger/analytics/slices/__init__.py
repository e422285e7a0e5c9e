"""Worst slices: parts of the documents whose predictions are worse than the rest's, found and confirmed apart.

Parts are the values of a field, ranges of a number, and pairs of these. They are found on one half of the folds by a
test of each part against the rest, corrected for all parts that were looked at, and confirmed on the other half.
"""
