"""The pages of metrics of worker and relay; a worker's is one for what all its processes count."""

from __future__ import annotations

import atexit
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from billiard import current_process

from scenebook.environment import share_metrics
from scenebook.settings import get_settings
from scenebook.temporary import own_prefix

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


def prepare(**_: Any) -> None:
    """Let forked processes count in files that their parent reads.

    Call before anything imports `prometheus_client` or `scenebook.metrics`: how a metric keeps its
    value is decided when it is made. The directory is this run's own, so nothing old is counted; a
    worker that is killed leaves it to `remove_abandoned`.
    """
    if get_settings().metrics_port is None:
        return
    if "scenebook.metrics" in sys.modules:
        # Celery reports an exception of a signal handler and goes on; this one it obeys.
        raise SystemExit("scenebook.metrics was imported before it was known where to count.")
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
    """Serve what a worker's processes count, from the parent of them."""
    if get_settings().metrics_port is None:
        return
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    listen(registry)


def listen(registry: CollectorRegistry) -> None:
    """Serve /metrics on METRICS_PORT of all interfaces, if a port is set."""
    from prometheus_client import start_http_server

    port = get_settings().metrics_port
    if port is not None:
        # A private network may speak nothing but IPv6; such a socket takes IPv4 as well.
        start_http_server(
            port, addr="::" if socket.has_dualstack_ipv6() else "0.0.0.0", registry=registry
        )
