"""Names, periods, times, JSON, a polling thread: helpers that import no other package of this program."""
