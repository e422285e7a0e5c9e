"""Events as records of an archive: what KServe's agent sends to a marshaller, and writes to an object store."""
