"""One event, from admission to a write plan: access, sampling, redaction, pipeline, replies."""
