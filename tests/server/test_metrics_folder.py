"""PROMETHEUS_MULTIPROC_DIR: whatever folder it is, nothing of others is touched, and /metrics is right."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import requests

from request_logger.server import worker_files
from request_logger.settings import SettingsError
from tests.helpers import Sender, Server, event, free_port, ndarray
from tests.test_http import counted

OTHERS = ("notes.db", "counter.db", "counter_7.db.bak", "gauge_live_7.db", "xcounter_7.db", "spool/spool.db")
OWN = ("counter_7.db", "histogram_71.db", "summary_1.db", "gauge_all_7.db", "gauge_livesum_7.db", "gauge_min_3.db")


def fill(folder: Path) -> None:
    for name in (*OTHERS, *OWN):
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"not counters")


@pytest.mark.parametrize("way", ["folder", "link", "[odd] *name"])
def test_only_own_files_are_removed(tmp_path: Path, way: str) -> None:
    """Files of others stay, also in folders below, whatever the folder is called."""
    folder = tmp_path / "metrics"
    fill(folder)
    given = folder
    if way == "link":
        given = tmp_path / "link"
        given.symlink_to(folder)
    elif way != "folder":
        given = folder = folder.rename(tmp_path / way)
    worker_files.prepare(str(given))
    left = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert left == set(OTHERS)


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    """Also those above it."""
    worker_files.prepare(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    """Not those of running processes and of their children, nor what has such a name only."""
    script = "import os, time; from request_logger.server.worker_files import own_folder; folder = own_folder(); "
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    (tmp_path / "request-logger-metrics-notes").mkdir()

    def folder_of(more: str) -> tuple[subprocess.Popen[str], Path]:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", script + more], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    running, running_folder = folder_of("print(folder); time.sleep(60)")
    parent, parent_folder = folder_of("os.fork() and print(folder); time.sleep(60)")
    killed, killed_folder = folder_of("print(folder); time.sleep(60)")
    children = psutil.Process(parent.pid).children()
    try:
        assert len({running_folder, parent_folder, killed_folder}) == 3
        for each in (parent, killed):
            each.kill()
            each.wait()
        ended, ended_folder = folder_of("print(folder)")
        ended.wait()
        assert not killed_folder.exists()
        assert not ended_folder.exists()
        assert sorted(tmp_path.iterdir()) == sorted(
            [tmp_path / "request-logger-metrics-notes", running_folder, parent_folder]
        )
    finally:
        for each in (running, parent, killed, *children):
            each.kill()


@pytest.mark.parametrize("place", ["a file", "/proc/1/nothing", "a dangling link"])
def test_what_is_no_folder_is_one_line(tmp_path: Path, place: str) -> None:
    """The line names the variable."""
    path = tmp_path / "file"
    if place == "a file":
        path.write_text("")
    elif place == "a dangling link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path = Path(place)
    with pytest.raises(SettingsError, match=r"^PROMETHEUS_MULTIPROC_DIR: expected a folder[^\n]*$"):
        worker_files.prepare(str(path))
    done = subprocess.run(
        [sys.executable, "-m", "request_logger.cli", "serve"],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(path), "PORT": str(free_port())},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("request-logger: PROMETHEUS_MULTIPROC_DIR: ")
    assert "Traceback" not in done.stderr


@pytest.mark.engine
def test_a_server_in_a_folder_with_others(make_server: Callable[..., Server], tmp_path: Path, deployment: str) -> None:
    """It starts, counts, and neither reads nor removes what isn't its own."""
    fill(tmp_path)
    server = make_server(PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    sender = Sender(server.url)
    assert sender.send(event("request", "r1", deployment), ndarray([[1]]))[0] == 200
    assert counted(server, "request_logger_events_total", outcome="stored") == 1
    sender.close()
    server.stop()
    assert all((tmp_path / name).read_bytes() == b"not counters" for name in OTHERS)


@pytest.mark.engine
def test_metrics_after_every_signal(make_server: Callable[..., Server], deployment: str) -> None:
    """The counts of all workers, gone ones included, whatever signal the master gets."""
    server = make_server(GUNICORN_WORKERS="2")
    sent = 0

    def send_some() -> None:
        nonlocal sent
        for _ in range(6):
            sender = Sender(server.url)  # a new connection each, for any worker
            assert sender.send(event("request", f"r{sent}", deployment), ndarray([[1]]))[0] == 200
            sender.close()
            sent += 1
        for _ in range(4):
            assert requests.get(f"{server.url}/metrics", timeout=10).status_code == 200
            assert counted(server, "request_logger_events_total", outcome="stored") == sent

    send_some()
    master = psutil.Process(server.process.pid)
    for name, workers in (("USR2", 2), ("HUP", 2), ("USR1", 2), ("TTIN", 3), ("TTOU", 2), ("USR2", 2)):
        before = {child.pid for child in master.children()}
        server.process.send_signal(signal.Signals[f"SIG{name}"])
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            now = {child.pid for child in master.children()}
            if len(now) == workers and (name != "HUP" or not now & before):
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"{name}: expected {workers} workers")
        send_some()
    assert "SIGUSR2 is ignored" in server.log.read_text()
    assert server.process.poll() is None
    server.stop()
