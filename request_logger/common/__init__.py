"""Names, periods, times, JSON: pure helpers that import no other package of this program."""
