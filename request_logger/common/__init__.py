"""Names, periods, times, JSON: pure helpers that import nothing else of this program."""
