"""Downloads an engine's jars from Maven Central, verifies them against the lock file, and builds the engine's home.

Versions are not resolved here: a kind's lock file lists exact coordinates with the SHA-256 of every jar, so both
downloaders get the same files, and nothing else is ever put on a class path:

- `mvn`, where it is installed: it uses the machine's mirror and proxy (`settings.xml`) and its local repository;
- else `jgo` (the extra `engine`), which needs only Python.

The launchers are compiled once, by the Eclipse compiler, which is one of the pinned jars: unlike `javac` it also runs
on the JRE that pip can install.

The cache is `$REQUEST_LOGGER_CACHE_DIR`, else `$XDG_CACHE_HOME/request-logger`, else `~/.cache/request-logger`. In
`engines/<kind>-<version>` there, `lib/` holds the jars and `home-<digest>/` what was built from them.
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
# Parallel downloads, and attempts per jar.
_JGO_THREADS = 4
_JGO_TRIES = 3
_MODULE = "transport-netty4"


def cache_root() -> Path:
    """Return the folder of everything that is cached."""
    chosen = os.environ.get("REQUEST_LOGGER_CACHE_DIR")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "request-logger"


def cache_folder(kind: Kind) -> Path:
    """Return the folder that caches the kind's jars and home."""
    return cache_root() / "engines" / f"{kind.name}-{kind.version}"


def why_no_jars(kind: Kind) -> str | None:
    """Return None if the kind's jars are cached or can be downloaded, else one line that says what is missing."""
    lib = cache_folder(kind) / "lib"
    if _fetchers() or all((lib / jar.file_name).is_file() for jar in kind.jars()):
        return None
    return f"{kind.label} needs a way to fetch its jars from Maven Central: run {PIP_EXTRA} or install mvn"


def engine_home(kind: Kind, java: Java, progress: Progress) -> Path:
    """Return the kind's home with `classes`, `modules` and `plugins`; downloads and builds what is missing.

    Raises EngineUnavailable if the jars can't be downloaded, or one of them is not the pinned one.
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
    """Return the class path of the engine in `home`: the launcher's classes and the lock file's jars for it."""
    jars = (home.parent / "lib" / jar.file_name for jar in kind.jars() if jar.use == "class path")
    return os.pathsep.join(map(str, (home / "classes", *jars)))


def fetch(label: str, jars: Sequence[Jar], lib: Path, progress: Progress) -> None:
    """Download the jars that `lib` lacks, then verify all of them.

    Raises EngineUnavailable if no downloader exists or works, and as `verify` does.
    """
    lib.mkdir(parents=True, exist_ok=True)
    missing = [jar for jar in jars if not (lib / jar.file_name).is_file()]
    if missing:
        megabytes = sum(jar.size for jar in missing) / 1e6
        progress(f"downloading {len(missing)} jars ({megabytes:.0f} MB) of {label} ...")
        started = time.monotonic()
        # On the same file system as lib, so that a jar is moved there atomically.
        with tempfile.TemporaryDirectory(prefix="download-", dir=lib.parent) as folder:
            staging = Path(folder)
            _download(label, missing, staging, progress)
            verify(missing, staging)
            for jar in missing:
                (staging / jar.file_name).replace(lib / jar.file_name)
        progress(f"downloaded in {time.monotonic() - started:.1f} s")
    verify(jars, lib)


def verify(jars: Sequence[Jar], folder: Path) -> None:
    """Verify that `folder` holds exactly these jars.

    A wrong or unexpected jar is deleted and reported. Raises EngineUnavailable for it, and for a missing jar.
    """
    expected = {jar.file_name: jar for jar in jars}
    for path in sorted(folder.glob("*.jar")):
        jar = expected.pop(path.name, None)
        if jar is None:
            path.unlink()
            raise EngineUnavailable(f"rejected {path.name}: not in the list of pinned jars; deleted from {folder}")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != jar.sha256:
            path.unlink()
            raise EngineUnavailable(
                f"rejected {path.name}: its SHA-256 is {digest}, the pinned one {jar.sha256}; deleted from {folder}"
            )
    if expected:
        raise EngineUnavailable(f"not downloaded: {', '.join(sorted(expected))}")


def _fetchers() -> list[str]:
    """Return the downloaders that are installed, the preferred one first."""
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
    """Copy exact artifacts with Maven, which reads none of their POMs and resolves nothing."""
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

    # A private repository, since jgo writes in place: an interrupted download must leave nothing in ~/.m2.
    repository = staging / "repository"
    context = MavenContext(repo_cache=repository, timeout=60)
    counted = _Counter(jars, progress)

    def download(jar: Jar) -> str:
        artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact(jar.classifier)
        for tries_left in reversed(range(_JGO_TRIES)):
            try:
                artifact.resolve().replace(staging / jar.file_name)
                break
            except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
                if not tries_left:
                    raise EngineUnavailable(f"jgo failed: {jar.file_name}: {error}") from error
                # jgo takes any existing file for a complete one.
                shutil.rmtree(repository / artifact.component.path_prefix, ignore_errors=True)
        return jar.file_name

    pool = ThreadPoolExecutor(_JGO_THREADS, thread_name_prefix="fetch")
    try:
        for done in as_completed([pool.submit(download, jar) for jar in jars]):
            counted.add(done.result())
    finally:
        pool.shutdown(cancel_futures=True)


class _Counter:
    """Reports a download's progress at most once per second."""

    def __init__(self, jars: Sequence[Jar], progress: Progress) -> None:
        self._sizes = {jar.file_name: jar.size for jar in jars}
        self._count, self._bytes = len(jars), sum(self._sizes.values())
        self._done, self._done_bytes = 0, 0
        self._progress = progress
        self._reported = time.monotonic()

    def add(self, file_name: str) -> None:
        """Count a file if it is one of the jars and was not counted yet."""
        size = self._sizes.pop(file_name, None)
        if size is None:
            return
        self._done += 1
        self._done_bytes += size
        if time.monotonic() - self._reported >= 1:
            self._reported = time.monotonic()
            self._progress(
                f"downloaded {self._done} of {self._count} jars"
                f" ({self._done_bytes / 1e6:.0f} of {self._bytes / 1e6:.0f} MB)"
            )


def _build(kind: Kind, java: Java, folder: Path) -> Path:
    """Return the home for the current launcher sources; compiles and lays it out where it doesn't exist."""
    digest = hashlib.sha256()
    for source in (*kind.sources, Path(__file__)):
        digest.update(source.read_bytes())
    home = folder / f"home-{digest.hexdigest()[:12]}"
    if home.is_dir():
        return home
    # Older homes are kept: an engine running from one may still load classes.
    with tempfile.TemporaryDirectory(prefix="build-", dir=folder) as temporary:
        new = Path(temporary) / "home"
        for name in ("classes", "modules", "plugins"):
            (new / name).mkdir(parents=True)
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
    """Lay out the modules of Elasticsearch 8 and 9, which load their transport from a folder, not the class path."""
    module_jars = [jar for jar in kind.jars() if jar.use == "module"]
    if not module_jars:
        return
    module = home / "modules" / _MODULE
    module.mkdir()
    for jar in module_jars:
        shutil.copyfile(lib / jar.file_name, module / jar.file_name)
    main = next(jar for jar in module_jars if jar.artifact == _MODULE)
    with zipfile.ZipFile(lib / main.file_name) as archive:
        descriptor = archive.read(f"META-INF/es-plugins/{_MODULE}/plugin-descriptor.properties").decode()
    # Without a module name it is loaded as a classic plugin, which needs no module graph of the server.
    lines = ["modulename=" if line.startswith("modulename=") else line for line in descriptor.splitlines()]
    (module / "plugin-descriptor.properties").write_text("\n".join(lines) + "\n", encoding="utf-8")
    root = home / "modules" / "rest-root"
    root.mkdir()
    # A plugin's class must be in a jar of the plugin's folder.
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
    """Hold an exclusive lock on a file; other processes and threads wait, since each opens the file itself."""
    with path.open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file releases the lock
