"""Events from Kafka topics: the same documents, store and scores as over HTTP, and offsets that wait for the engine."""
