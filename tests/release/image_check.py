"""`make image-check`: the Dockerfile, built and run by buildah, with no Docker and no registry of images.

What `FROM` names is made here: a Debian of debootstrap with its own Python. So the steps, the stages, what is copied,
the user, the health check and the command are those of the real image; the Python below is Debian's, not that of
`python:<version>-slim`. Needs root, buildah and debootstrap; the base stays in `build/image`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

from request_logger import __version__
from request_logger.embedded_engine import start_engine
from tests.helpers import event, free_port, ndarray
from tests.release.dockerfile import ROOT, healthcheck

SUITE, PYTHON = "trixie", "3.13"
MIRROR = "http://deb.debian.org/debian"
WORK = ROOT / "build" / "image"
IMAGE = f"seldon-request-logger:{__version__}"
# The builder's own certificates and index of packages, where it has some.
LENT = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")


def main() -> int:
    """Make the base, build, run and ask. Status 0: it works, 2: something that it needs is missing."""
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if missing or os.geteuid():
        print(f"make image-check needs root, buildah and debootstrap: missing {', '.join(missing) or 'root'}")
        return 2
    base = make_base()
    started = time.monotonic()
    lent = [f"--volume={path}:{path}:ro" for path in LENT if Path(path).exists()]
    arguments = ["--pull-never", "--format=docker", "--quiet", f"--build-arg=PYTHON={PYTHON}", *lent]
    buildah("build", *arguments, f"--tag={IMAGE}", str(ROOT))
    own = size(IMAGE) - size(base)
    print(f"built in {time.monotonic() - started:.0f} s; {own / 1e6:.0f} MB on top of its base", flush=True)
    container = buildah("from", "--pull-never", IMAGE)
    try:
        check_content(container)
        check_running(container)
    finally:
        buildah("rm", container)
    print("the image is as the Dockerfile says: it serves, stores and says that it is well")
    return 0


def buildah(*arguments: str) -> str:
    """Run buildah on a separate storage, without a daemon; return its output."""
    done = subprocess.run(command(*arguments), stdout=subprocess.PIPE, text=True, check=True, timeout=600)
    return done.stdout.strip()


def command(*arguments: str) -> list[str]:
    """Give the whole command line: files are copied and processes confined by chroot, which works anywhere."""
    storage = ("--root", str(WORK / "storage"), "--runroot", str(WORK / "run"), "--storage-driver", "vfs")
    first, *rest = arguments
    isolation = ("--isolation", "chroot") if first in ("build", "from", "run") else ()
    return ["buildah", *storage, first, *isolation, *rest]


def make_base() -> str:
    """Give the name of an image that stands in for the one that the Dockerfile starts from."""
    name = f"docker.io/library/python:{PYTHON}-slim"
    root = WORK / SUITE
    if not (root / "usr" / "local" / "bin" / "pip").is_symlink():
        print(f"making a base of Debian {SUITE} ...", flush=True)
        shutil.rmtree(root, ignore_errors=True)
        packages = "ca-certificates,python3,python3-venv,python3-pip"
        line = ["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, str(root), MIRROR]
        subprocess.run(line, stdout=subprocess.DEVNULL, check=True, timeout=600)
        for tool in ("python", "python3", "pip"):
            (root / "usr" / "local" / "bin" / tool).symlink_to(f"/usr/bin/{tool.replace('python', 'python3')[:7]}")
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, str(root), "/")
    path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    buildah("config", "--env", f"PATH={path}", container)
    buildah("commit", "--quiet", "--rm", container, name)
    return name


def size(image: str) -> int:
    """Give the bytes of an image's files."""
    mounted = buildah("from", "--pull-never", image)
    try:
        folder = Path(buildah("mount", mounted))
        return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    finally:
        buildah("rm", mounted)


def check_content(container: str) -> None:
    """The user, the version, and that nothing installs."""
    assert inside(container, "id", "-u").strip() == "10001"
    assert inside(container, "request-logger", "--version").split()[-1] == __version__
    program = "import importlib.util as u, os; print(u.find_spec('pip'), os.access('/opt/venv', os.W_OK))"
    assert inside(container, "python", "-I", "-c", program).split() == ["None", "False"]
    found: dict[str, Any] = json.loads(buildah("inspect", container))
    config = found["Docker"]["config"]
    assert config["Healthcheck"]["Test"] == ["CMD", *healthcheck()]
    assert config["Cmd"] == ["request-logger", "serve"]
    assert config["User"] == "10001:10001"


def inside(container: str, *arguments: str) -> str:
    """Run a command in the container; give what it prints."""
    done = subprocess.run(
        command("run", container, "--", *arguments), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_running(container: str) -> None:
    """Its own command serves, an event is stored, and its health check says yes."""
    port = str(free_port())
    with start_engine(heap="512m") as engine:
        settings = (f"--env=ELASTICSEARCH_HOST={engine.url}", f"--env=PORT={port}")
        serve = json.loads(buildah("inspect", container))["Docker"]["config"]["Cmd"]
        line = command("run", *settings, container, "--", *serve)
        with (WORK / "serve.log").open("w") as log, subprocess.Popen(line, stdout=log, stderr=log) as process:
            try:
                url = f"http://127.0.0.1:{port}"
                wait(f"{url}/readyz")
                headers = event("request", "r1", "image")
                assert requests.post(url, data=ndarray([[1.0]]), headers=headers, timeout=30).status_code == 200
                inside_port = command("run", f"--env=PORT={port}", container, "--", *healthcheck())
                subprocess.run(inside_port, check=True, timeout=60)
            finally:
                process.terminate()


def wait(url: str) -> None:
    """Wait until it answers 200, at most for a minute."""
    for _ in range(120):
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"{url} is not well")


if __name__ == "__main__":
    sys.exit(main())
