"""Reads events from Kafka: the same documents, store and scores as over HTTP; offsets follow acknowledgements."""
