"""Fetching an engine's jars from Maven Central, checking each against the lock file, and building its home.

Versions are not resolved here. The lock file of a kind lists the exact coordinates, resolved once, with the SHA-256 of
every jar, so both ways of fetching bring the same files and nothing else is ever put on a class path:

- `mvn`, where it is installed: it knows the machine's mirror and proxy (`settings.xml`) and may have the jars already;
- else `jgo` (the extra `engine`), which needs nothing but Python.

The launchers are compiled once, by the Eclipse compiler, which is one of the pinned jars: unlike `javac` it also runs
on the JRE that pip can install.

Everything lies in `$REQUEST_LOGGER_CACHE_DIR`, else `$XDG_CACHE_HOME/request-logger`, else `~/.cache/request-logger`,
under `engines/<kind>-<version>`: `lib/` holds the jars, `home-<digest>/` what was built of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from xml.sax.saxutils import escape

from request_logger.embedded_engine.java import PIP_EXTRA, Java, has_module
from request_logger.embedded_engine.kinds import EngineUnavailable, Jar, Kind

Progress = Callable[[str], None]

COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_JGO_THREADS = 4
_JGO_TRIES = 3
_MODULE = "transport-netty4"


def cache_folder(kind: Kind) -> Path:
    """Where the kind's jars and home are kept."""
    chosen = os.environ.get("REQUEST_LOGGER_CACHE_DIR")
    if chosen:
        root = Path(chosen).expanduser()
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "request-logger"
    return root / "engines" / f"{kind.name}-{kind.version}"


def why_no_jars(kind: Kind) -> str | None:
    """None if the kind's jars are in the cache or could be fetched; else one line that says what is missing."""
    lib = cache_folder(kind) / "lib"
    if _fetchers() or all((lib / jar.file_name).is_file() for jar in kind.jars()):
        return None
    return f"{kind.label} needs a way to fetch its jars from Maven Central: run {PIP_EXTRA} or install mvn"


def engine_home(kind: Kind, java: Java, progress: Progress) -> Path:
    """The folder that the kind starts from: `classes`, `modules` and `plugins`. Fetches and builds what is missing.

    Raises EngineUnavailable if the jars can't be had, or one of them is not the pinned one.
    """
    folder = cache_folder(kind)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock", lambda: progress(f"waiting for another process to fetch {kind.label} ...")):
            fetch(kind.label, kind.jars(), folder / "lib", progress)
            return _build(kind, java, folder)
    except OSError as error:
        raise EngineUnavailable(f"cannot keep {kind.label} in {folder}: {error}") from error


def class_path(kind: Kind, home: Path) -> str:
    """The class path of the engine in `home`: the launcher's classes and the jars that the lock file puts there."""
    jars = (home.parent / "lib" / jar.file_name for jar in kind.jars() if jar.use == "class path")
    return os.pathsep.join(map(str, (home / "classes", *jars)))


def fetch(label: str, jars: Sequence[Jar], lib: Path, progress: Progress) -> None:
    """Bring the jars that `lib` lacks, then check all of them.

    Raises EngineUnavailable if no way to fetch exists or works, or as `verify` does.
    """
    lib.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not (lib / jar.file_name).is_file()]
    if missing:
        megabytes = sum(jar.size for jar in missing) / 1e6
        progress(f"downloading {len(missing)} jars ({megabytes:.0f} MB) of {label} ...")
        started = time.monotonic()
        # Beside lib, so that a jar gets there by renaming: whole or not at all.
        with tempfile.TemporaryDirectory(prefix="download-", dir=lib.parent) as folder:
            staging = Path(folder)
            _download(label, missing, staging, progress)
            verify(missing, staging)
            for jar in missing:
                (staging / jar.file_name).replace(lib / jar.file_name)
        progress(f"downloaded in {time.monotonic() - started:.1f} s")
    verify(jars, lib)


def verify(jars: Sequence[Jar], folder: Path) -> None:
    """Check that `folder` holds these jars and no other.

    A wrong or unexpected jar is deleted, then refused. Raises EngineUnavailable for that or for one that is missing.
    """
    expected = {jar.file_name: jar for jar in jars}
    for path in sorted(folder.glob("*.jar")):
        jar = expected.pop(path.name, None)
        if jar is None:
            path.unlink()
            raise EngineUnavailable(f"refused {path.name}: not in the list of pinned jars; deleted from {folder}")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != jar.sha256:
            path.unlink()
            raise EngineUnavailable(
                f"refused {path.name}: its SHA-256 is {digest}, the pinned one {jar.sha256}; deleted from {folder}"
            )
    if expected:
        raise EngineUnavailable(f"not downloaded: {', '.join(sorted(expected))}")


def _fetchers() -> list[str]:
    """The ways of fetching that exist here, the better one first."""
    return [*(["mvn"] if shutil.which("mvn") else []), *(["jgo"] if has_module("jgo") else [])]


def _download(label: str, jars: Sequence[Jar], staging: Path, progress: Progress) -> None:
    errors = []
    for fetcher in _fetchers():
        try:
            if fetcher == "mvn":
                _download_with_mvn(jars, staging, progress)
            else:
                _download_with_jgo(jars, staging, progress)
            return
        except EngineUnavailable as error:
            errors.append(str(error))
    if errors:
        raise EngineUnavailable(f"{label} could not be downloaded from Maven Central: {'; '.join(errors)}")
    raise EngineUnavailable(f"{label} needs a way to fetch its jars: run {PIP_EXTRA} or install mvn")


def _download_with_mvn(jars: Sequence[Jar], staging: Path, progress: Progress) -> None:
    """Copies exact artifacts: Maven reads no POM of theirs and resolves nothing."""
    items = "".join(
        f"<artifactItem><groupId>{escape(jar.group)}</groupId><artifactId>{escape(jar.artifact)}</artifactId>"
        f"<version>{escape(jar.version)}</version><classifier>{escape(jar.classifier)}</classifier></artifactItem>"
        for jar in jars
    )
    plugin = dict(zip(("groupId", "artifactId", "version"), COPY_GOAL.split(":"), strict=False))
    names = "".join(f"<{key}>{value}</{key}>" for key, value in plugin.items())
    pom = staging / "pom.xml"
    pom.write_text(
        "<project><modelVersion>4.0.0</modelVersion><groupId>engine</groupId><artifactId>engine</artifactId>"
        f"<version>1</version><packaging>pom</packaging><build><plugins><plugin>{names}<configuration>"
        f"<outputDirectory>{escape(str(staging))}</outputDirectory><artifactItems>{items}</artifactItems>"
        "</configuration></plugin></plugins></build></project>",
        encoding="utf-8",
    )
    counted = _Counter(jars, progress)
    errors = []
    with subprocess.Popen(  # noqa: S603
        ["mvn", "--batch-mode", "--file", str(pom), COPY_GOAL],  # noqa: S607  # the one on the PATH is meant
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
    ) as maven:
        for line in maven.stdout or ():
            if "Downloaded from" in line:
                counted.add(line.split(" (")[0].rsplit("/", 1)[-1].strip())
            elif "[ERROR]" in line:
                errors.append(line.replace("[ERROR]", "").strip())
    if maven.returncode:
        raise EngineUnavailable(f"mvn failed: {(errors or ['it did not say why'])[0][:300]}")


def _download_with_jgo(jars: Sequence[Jar], staging: Path, progress: Progress) -> None:
    from jgo.maven import MavenContext  # noqa: PLC0415  # of an optional extra

    # A repository of its own, since jgo writes in place: one that was ended half-way leaves nothing in ~/.m2.
    repository = staging / "repository"
    context = MavenContext(repo_cache=repository, timeout=60)
    counted = _Counter(jars, progress)

    def bring(jar: Jar) -> str:
        artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact(jar.classifier)
        for tries_left in reversed(range(_JGO_TRIES)):
            try:
                artifact.resolve().replace(staging / jar.file_name)
                break
            except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
                if not tries_left:
                    raise EngineUnavailable(f"jgo failed: {jar.file_name}: {error}") from error
                # jgo takes a file that is there for a whole one.
                shutil.rmtree(repository / artifact.component.path_prefix, ignore_errors=True)
        return jar.file_name

    pool = ThreadPoolExecutor(_JGO_THREADS, thread_name_prefix="fetch")
    try:
        for done in as_completed([pool.submit(bring, jar) for jar in jars]):
            counted.add(done.result())
    finally:
        pool.shutdown(cancel_futures=True)


class _Counter:
    """Tells how far a download is, at most once a second."""

    def __init__(self, jars: Sequence[Jar], progress: Progress) -> None:
        self._sizes = {jar.file_name: jar.size for jar in jars}
        self._count, self._bytes = len(jars), sum(self._sizes.values())
        self._done, self._done_bytes = 0, 0
        self._progress = progress
        self._told = time.monotonic()

    def add(self, file_name: str) -> None:
        """Count a file, if it is one of the jars and was not counted yet."""
        size = self._sizes.pop(file_name, None)
        if size is None:
            return
        self._done += 1
        self._done_bytes += size
        if time.monotonic() - self._told >= 1:
            self._told = time.monotonic()
            self._progress(
                f"downloaded {self._done} of {self._count} jars"
                f" ({self._done_bytes / 1e6:.0f} of {self._bytes / 1e6:.0f} MB)"
            )


def _build(kind: Kind, java: Java, folder: Path) -> Path:
    """Compile the launcher and lay out the modules, once for each state of their sources."""
    digest = hashlib.sha256()
    for source in (*kind.sources, Path(__file__)):
        digest.update(source.read_bytes())
    home = folder / f"home-{digest.hexdigest()[:12]}"
    if home.is_dir():
        return home
    # An older home stays: an engine that runs from it may still load classes.
    with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as temporary:
        new = Path(temporary) / "home"
        for part in ("classes", "modules", "plugins"):
            (new / part).mkdir(parents=True)
        _compile(kind, java, folder / "lib", new / "classes")
        _lay_out_modules(kind, folder / "lib", new)
        new.rename(home)
    return home


def _compile(kind: Kind, java: Java, lib: Path, classes: Path) -> None:
    jars = kind.jars()
    compiler = next(lib / jar.file_name for jar in jars if jar.use == "compiler")
    language = str(kind.java)
    command = [str(java.path), "-jar", str(compiler), "-nowarn", "-proc:none", "-encoding", "UTF-8"]
    command += ["-source", language, "-target", language, "-d", str(classes)]
    command += ["-cp", os.pathsep.join(str(lib / jar.file_name) for jar in jars if jar.use != "compiler")]
    done = subprocess.run(  # noqa: S603
        [*command, *map(str, kind.sources)], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RuntimeError(f"the launcher of {kind.label} does not compile:\n{done.stdout}{done.stderr}")


def _lay_out_modules(kind: Kind, lib: Path, home: Path) -> None:
    """Elasticsearch 8 and 9 take their transport from a folder of modules, not from the class path."""
    parts = [jar for jar in kind.jars() if jar.use == "module"]
    if not parts:
        return
    module = home / "modules" / _MODULE
    module.mkdir()
    for jar in parts:
        shutil.copyfile(lib / jar.file_name, module / jar.file_name)
    main = next(jar for jar in parts if jar.artifact == _MODULE)
    with zipfile.ZipFile(lib / main.file_name) as archive:
        descriptor = archive.read(f"META-INF/es-plugins/{_MODULE}/plugin-descriptor.properties").decode()
    # Without a module name it is loaded like any old plugin, which needs no module graph of the server.
    lines = ["modulename=" if line.startswith("modulename=") else line for line in descriptor.splitlines()]
    (module / "plugin-descriptor.properties").write_text("\n".join(lines) + "\n", encoding="utf-8")
    root = home / "modules" / "rest-root"
    root.mkdir()
    # A plugin's class must come from a jar of its own folder.
    with zipfile.ZipFile(root / "rest-root.jar", "w") as archive:
        for path in (home / "classes").glob(f"{kind.root_plugin}*.class"):
            archive.write(path, path.name)
            path.unlink()
    (root / "plugin-descriptor.properties").write_text(
        f"name=rest-root\ndescription=Answers GET /\nversion={kind.version}\nelasticsearch.version={kind.version}\n"
        f"java.version={kind.java}\nclassname={kind.root_plugin}\nmodulename=\n",
        encoding="utf-8",
    )


@contextlib.contextmanager
def _locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file: other processes wait, and so do other threads (each opens the file anew)."""
    with path.open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file lets go of the lock
