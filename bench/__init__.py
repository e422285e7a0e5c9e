"""Load generators and comparisons. Each compares the documents in the engine with the expected ones."""
