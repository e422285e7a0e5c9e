"""Load generators and comparisons. Each checks what it measured against what the engine holds."""
