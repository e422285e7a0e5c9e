"""Coverage-guided fuzzing of what reads events: `make fuzz-coverage`, and a short form that runs with the tests."""
