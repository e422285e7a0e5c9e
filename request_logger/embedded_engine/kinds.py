"""Describes each kind of engine: version, required Java, launcher, and the jars that its lock file pins.

Jars are downloaded when an engine is started and never shipped: those of Elasticsearch from 7.11 on are under Elastic's
own licence. OpenSearch and Elasticsearch OSS 7.10 have scripts and reindex; of Elasticsearch 7.17, 8 and 9 only the
server is published: without scripts, and in 8 and 9 without reindex and update by query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

JAVA_FOLDER = Path(__file__).parent / "java"

Use = Literal["class path", "module", "compiler"]


class EngineUnavailable(RuntimeError):  # noqa: N818  # what it says is a state, not a mistake
    """Something that an engine needs is missing or was rejected. The message is one line that says what to do."""


@dataclass(frozen=True)
class Jar:
    """One jar of a lock file: exact Maven coordinates, SHA-256, size (bytes) and use."""

    group: str
    artifact: str
    version: str
    classifier: str
    sha256: str
    size: int
    use: Use

    @property
    def file_name(self) -> str:
        """The jar's file name in a Maven repository."""
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + ".jar"


@dataclass(frozen=True)
class Kind:
    """One kind of engine. `java` is the lowest supported Java version; each kind was also run on 25."""

    name: str
    title: str
    version: str
    java: int
    launcher: str
    plugins: tuple[str, ...] = ()
    extra_sources: tuple[str, ...] = ()
    root_plugin: str = ""
    config_file: str = "elasticsearch.yml"
    several_nodes: bool = False

    @property
    def label(self) -> str:
        """Name and version for messages, such as `OpenSearch 3.3.2`."""
        return f"{self.title} {self.version}"

    @property
    def sources(self) -> tuple[Path, ...]:
        """The Java sources of its launcher."""
        return tuple(JAVA_FOLDER / f"{name}.java" for name in ("Parent", self.launcher, *self.extra_sources))

    def jars(self) -> tuple[Jar, ...]:
        """Return all jars of its lock file."""
        return read_lock(JAVA_FOLDER / f"{self.name}.lock")


def read_lock(path: Path) -> tuple[Jar, ...]:
    """Return the jars of a lock file, whose lines are: SHA-256, bytes, `group:artifact:version[:classifier]`, [use].

    Raises ValueError for an invalid line.
    """
    jars = []
    for number, line in enumerate(path.read_text(encoding="ascii").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            sha256, size, coordinate, *use = line.split()
            group, artifact, version, *classifier = coordinate.split(":")
            jars.append(Jar(group, artifact, version, "".join(classifier), sha256, int(size), _use("".join(use))))
        except ValueError as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from None
    return tuple(jars)


def _use(word: str) -> Use:
    uses: dict[str, Use] = {"": "class path", "module": "module", "compiler": "compiler"}
    if word not in uses:
        raise ValueError(f"unknown use {word!r}")
    return uses[word]


def _named(prefix: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(prefix + name for name in names)


_OPENSEARCH_PLUGINS = (
    "OpenSearchAnalysis",
    *_named(
        "org.opensearch.",
        (
            "geo.GeoModulePlugin",
            "index.mapper.MapperExtrasModulePlugin",
            "index.rankeval.RankEvalModulePlugin",
            "index.reindex.ReindexModulePlugin",
            "ingest.common.IngestCommonModulePlugin",
            "join.ParentJoinModulePlugin",
            "painless.PainlessModulePlugin",
            "percolator.PercolatorModulePlugin",
            "script.expression.ExpressionModulePlugin",
            "script.mustache.MustacheModulePlugin",
            "search.aggregations.matrix.MatrixAggregationModulePlugin",
            "transport.Netty4ModulePlugin",
        ),
    ),
)

_GEO = "org.opensearch.geo.GeoModulePlugin"
# Other class names than those of OpenSearch 3, except for one.
_OPENSEARCH2_PLUGINS = (
    "OpenSearch2Analysis",
    *(name if name == _GEO else name.replace("ModulePlugin", "Plugin") for name in _OPENSEARCH_PLUGINS[1:]),
)

_OPENSEARCH = Kind(
    name="opensearch",
    title="OpenSearch",
    version="3.3.2",
    java=21,
    launcher="OpenSearch",
    plugins=_OPENSEARCH_PLUGINS,
    extra_sources=("OpenSearchAnalysis", "Thai"),
    config_file="opensearch.yml",
    several_nodes=True,
)

_KINDS = (
    _OPENSEARCH,
    Kind(
        name="opensearch2",
        title="OpenSearch",
        version="2.19.1",
        java=17,
        launcher="OpenSearch2",
        plugins=_OPENSEARCH2_PLUGINS,
        extra_sources=("OpenSearch2Analysis", "Thai"),
        config_file="opensearch.yml",
    ),
    replace(_OPENSEARCH, name="opensearch38", version="3.8.0"),
    Kind(
        name="elasticsearch7-oss",
        title="Elasticsearch OSS",
        version="7.10.2",
        java=17,
        launcher="Elasticsearch7",
        extra_sources=("Elasticsearch7Analysis", "Thai"),
        plugins=(
            "Elasticsearch7Analysis",
            *_named(
                "org.elasticsearch.",
                (
                    "index.mapper.MapperExtrasPlugin",
                    "index.rankeval.RankEvalPlugin",
                    "index.reindex.ReindexPlugin",
                    "ingest.common.IngestCommonPlugin",
                    "join.ParentJoinPlugin",
                    "painless.PainlessPlugin",
                    "percolator.PercolatorPlugin",
                    "script.expression.ExpressionPlugin",
                    "script.mustache.MustachePlugin",
                    "search.aggregations.matrix.MatrixAggregationPlugin",
                    "transport.Netty4Plugin",
                ),
            ),
        ),
    ),
    Kind(
        name="elasticsearch717",
        title="Elasticsearch",
        version="7.17.29",
        java=17,
        launcher="Elasticsearch7",
        plugins=_named(
            "org.elasticsearch.",
            (
                "index.mapper.MapperExtrasPlugin",
                "index.rankeval.RankEvalPlugin",
                "join.ParentJoinPlugin",
                "percolator.PercolatorPlugin",
                "reindex.ReindexPlugin",
                "script.mustache.MustachePlugin",
                "search.aggregations.matrix.MatrixAggregationPlugin",
                "transport.Netty4Plugin",
            ),
        ),
    ),
    Kind(
        name="elasticsearch8",
        title="Elasticsearch",
        version="8.19.21",
        java=17,
        launcher="Elasticsearch8",
        extra_sources=("RestRoot8",),
        root_plugin="RestRoot8",
    ),
    Kind(
        name="elasticsearch9",
        title="Elasticsearch",
        version="9.5.3",
        java=21,
        launcher="Elasticsearch9",
        extra_sources=("RestRoot9",),
        root_plugin="RestRoot9",
    ),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}


def kind_named(name: str) -> Kind:
    """Return the kind of that name. Raises ValueError, which lists the known names, for an unknown one."""
    try:
        return KINDS[name]
    except KeyError:
        raise ValueError(f"unknown engine {name!r}: use one of {', '.join(KINDS)}") from None
