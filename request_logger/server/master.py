"""gunicorn's master process, configured by the environment variables of the replaced image."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from request_logger import logs
from request_logger.common.listen_addresses import addresses, with_port
from request_logger.server import worker_files
from request_logger.server.connection_limit import MOST_CONNECTIONS, raise_file_limit
from request_logger.server.memory_tuning import tune_memory
from request_logger.server.shutdown import PatientArbiter, Stopping
from request_logger.settings import Settings
from request_logger.store.writing.bulk_tokens import BulkTokens

# By GUNICORN_WORKER_CLASS and FAST_HTTP.
_WORKERS = {
    ("gevent", True): "request_logger.server.fast_worker.FastWorker",
    ("gevent", False): "request_logger.server.worker.Worker",
    ("gthread", True): "gthread",
    ("gthread", False): "gthread",
}
# Gevent's worker has a limit of its own, at which it closes an idle connection: this one, at which gunicorn accepts no
# more, must not be reached.
_UNLIMITED_CONNECTIONS = 2**20
# Name and value of one header. KServe's agent sends headers of the client as JSON in one header, and doesn't retry.
# gunicorn buffers up to 100 headers of this size per connection, so it isn't larger than `MOST_BYTES` needs.
MOST_HEADER_BYTES = 33 * 2**10
GRACEFUL_SECONDS = 30
"""Seconds that a worker has at shutdown to finish requests in flight."""


def serve(settings: Settings) -> None:
    """Run the server until it is stopped. Raises SettingsError where PROMETHEUS_MULTIPROC_DIR can't be used."""
    directory = os.environ.get(worker_files.VARIABLE)
    if not directory:
        # Each worker counts in its own files, and /metrics adds them up. They must not survive a restart.
        directory = os.environ[worker_files.VARIABLE] = worker_files.own_folder()
    worker_files.prepare(directory)
    raise_file_limit()
    _Server(settings).run()


class _Server(BaseApplication):  # type: ignore[misc]
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tokens = BulkTokens() if settings.gunicorn_workers > 1 else None
        self._stopping = Stopping()
        super().__init__()

    def run(self) -> None:
        PatientArbiter(self, self._stopping, self._settings.stop_delay_seconds).run()

    def load_config(self) -> None:
        is_gevent = self._settings.gunicorn_worker_class == "gevent"
        options: dict[str, Any] = {
            "bind": [with_port(address, self._settings.port) for address in addresses(self._settings.host)],
            "workers": self._settings.gunicorn_workers,
            "threads": self._settings.gunicorn_threads,
            "worker_class": _WORKERS[self._settings.gunicorn_worker_class, self._settings.fast_http],
            "worker_connections": _UNLIMITED_CONNECTIONS if is_gevent else MOST_CONNECTIONS,
            "keepalive": 75,
            "limit_request_field_size": MOST_HEADER_BYTES,
            "graceful_timeout": GRACEFUL_SECONDS,
            "logger_class": type("GunicornLogger", (_GunicornLogger,), {"line_format": self._settings.log_format}),
            "loglevel": self._settings.log_level.lower(),
            "child_exit": _child_exit,
            "worker_exit": _worker_exit,
            "control_socket_disable": True,
        }
        for name, value in options.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Flask:
        # In the worker: threads don't survive a fork, and gevent has to patch what this imports.
        from request_logger.server.app import create_app  # noqa: PLC0415

        logs.configure(self._settings.log_level, self._settings.log_format)
        app = create_app(self._settings, self._tokens, lambda: bool(self._stopping))
        tune_memory()
        return app


class _GunicornLogger(Logger):  # type: ignore[misc]
    """Gunicorn's log lines in the program's format."""

    line_format = "text"

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(logs.formatter(self.line_format))


def _child_exit(server: Any, worker: Any) -> None:
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]


def _worker_exit(server: Any, worker: Any) -> None:
    from request_logger.server.app import close  # noqa: PLC0415

    close(getattr(worker, "wsgi", None))
