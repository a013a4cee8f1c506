"""The worker's page of metrics: one answer for what all of its processes count."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

from billiard import current_process

from scenebook.environment import share_metrics
from scenebook.settings import get_settings
from scenebook.temporary import own_prefix


def prepare(**_: Any) -> None:
    """Let forked processes count in files that their parent reads.

    Call before anything imports `prometheus_client` or `scenebook.metrics`: how a metric keeps its
    value is decided when it is made. The directory is this run's own, so nothing old is counted; a
    worker that is killed leaves it to `remove_abandoned`.
    """
    if get_settings().metrics_port is None:
        return
    directory = Path(tempfile.mkdtemp(prefix=own_prefix()))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    share_metrics(directory)
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue(_place)  # type: ignore[no-untyped-call]


def _place() -> str:
    """Where this process stands in the pool.

    Files are named after it: a process that replaces another counts on, in the same files, while
    files named by process ids would become more and more.
    """
    return str(getattr(current_process(), "index", "parent"))


def serve(**_: Any) -> None:
    """Serve /metrics on METRICS_PORT from the parent process, if a port is set."""
    port = get_settings().metrics_port
    if port is None:
        return
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    start_http_server(port, registry=registry)
