"""What the predictions with feedback say of those without: coverage, weighted and audited figures, bounds, estimates.

docs/selection.md has the formula, the source and the assumption of each.
"""
