"""Metrics over HTTP for Prometheus: one process serves its own, of several the parent serves the sum from shared files.

This module imports without prometheus-client, so that a missing package is told in one sentence.
"""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from taskq.app import App
from taskq.errors import ConfigError
from taskq.hooks.base import Hooks
from taskq.supervisor.options import WorkerOptions

__all__ = ["SharedFigures", "observe", "serving", "share_figures"]

logger = logging.getLogger("taskq")

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class SharedFigures:
    """A folder in which the processes keep their figures, and the endpoint that adds them up; the parent's side.

    The files are named by the number of a place, not by process id: the process that replaces another counts on where
    that one stopped, so counters never fall, and years of recycling leave no more files than there are places.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.environment = {_FOLDER: folder}

    @classmethod
    @contextlib.contextmanager
    def serving(cls, options: WorkerOptions) -> Iterator[SharedFigures | None]:
        """Serve the sum of all processes until left; None if no metrics were asked for.

        Raises:
            ConfigError: prometheus-client is not installed, or the port cannot be had.
        """
        if options.metrics_port is None:
            yield None
            return
        client = _client()
        with tempfile.TemporaryDirectory(prefix="taskq-metrics-", ignore_cleanup_errors=True) as folder:
            registry = client.CollectorRegistry()
            client.multiprocess.MultiProcessCollector(registry, path=folder)
            with serving(options, registry):
                yield cls(folder)

    def forget(self, number: int) -> None:
        """Take back what a process that ended had in flight, and what its forks had."""
        for name in (f"{number}", f"{number}-*"):
            _client().multiprocess.mark_process_dead(name, path=self._folder)


@contextlib.contextmanager
def serving(options: WorkerOptions, registry: Any = None) -> Iterator[None]:
    """Serve a registry, or the client's default one, until left.

    Raises:
        ConfigError: prometheus-client is not installed, or the port cannot be had.
    """
    host, port = options.metrics_host, options.metrics_port
    assert port is not None
    client = _client()
    try:
        server, thread = client.start_http_server(port, host, client.REGISTRY if registry is None else registry)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"metrics cannot be served on {host}:{port}: {error}; give another --metrics-port") from None
    logger.info("metrics are served at http://%s:%d/metrics", host, server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def share_figures(number: int) -> None:
    """Keep this process's figures in the parent's folder; to be called before the app is imported.

    Args:
        number: which of the parent's places this process has.
    """
    values = _client().values
    own = os.getpid()

    def place() -> str:
        return f"{number}" if os.getpid() == own else f"{number}-{os.getpid()}"  # a fork must not write to the same file

    values.ValueClass = values.MultiProcessValue(place)


def observe(app: App) -> None:
    """Have an app count, unless it does already.

    Raises:
        ConfigError: prometheus-client is not installed, or another hook counts in the default registry.
    """
    _client()
    from taskq.hooks.prometheus import PrometheusHook  # noqa: PLC0415 - it imports the client where that is installed

    if not any(isinstance(hook, PrometheusHook) for hook in app.hooks.listed):
        app.hooks = Hooks((*app.hooks.listed, PrometheusHook()))


def _client() -> Any:
    try:
        import prometheus_client  # noqa: PLC0415 - an extra, and slow to import
        import prometheus_client.multiprocess  # noqa: PLC0415
        import prometheus_client.values  # noqa: PLC0415
    except ImportError:
        raise ConfigError("--metrics-port needs prometheus-client; run: pip install 'taskq[prometheus]'") from None
    return prometheus_client
