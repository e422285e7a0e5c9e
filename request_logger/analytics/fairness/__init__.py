"""Fairness: the selection rate, TPR, FPR and precision of a class between the values of a field."""
