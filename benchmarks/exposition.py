"""What a page of metrics costs: of a worker with 8 processes, and of a single process.

    python -m benchmarks.exposition [--rounds 40]

Both count in every series there is, and are scraped over HTTP by turns. Prints the medians; exit
status 1 if the worker's page costs more than its target.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.table import Table

from scenebook.embedded.process import start_tethered, stop_process
from scenebook.environment import process_environment
from tests.stack import free_port
from worker import exposition

PROCESSES = 8
TARGET = 10.0
PATIENCE_S = 60.0
# Long enough that no process of the pool gets a second one.
COUNTING_S = 0.5


def count_everything(_: int = 0) -> int:
    """Count in every series, as a process that has done all kinds of work; its id."""
    from scenebook import metrics

    for metric in vars(metrics).values():
        if not isinstance(metric, metrics.Counter | metrics.Histogram):
            continue
        for one in metric._metrics.values() if metric._labelnames else [metric]:
            one.inc() if isinstance(one, metrics.Counter) else one.observe(0.1)
    time.sleep(COUNTING_S)
    return os.getpid()


def be_a_worker() -> None:
    """Count in forked processes and serve what they counted, as Celery's parent does."""
    exposition.prepare()
    from billiard import Pool

    from scenebook import metrics  # noqa: F401  before the fork, as in a worker

    with Pool(PROCESSES) as pool:
        if len(set(pool.map(count_everything, range(PROCESSES), chunksize=1))) < PROCESSES:
            raise SystemExit("A process counted nothing.")
        exposition.serve()
        signal.pause()


def be_alone() -> None:
    """Count and serve in this one process, as the relay does."""
    count_everything()
    from prometheus_client import REGISTRY

    exposition.listen(REGISTRY)
    signal.pause()


def page(port: int) -> str:
    """One scrape."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


@contextmanager
def serving(kind: str) -> Iterator[int]:
    """The port of a process of this kind, ended by its id."""
    port = free_port()
    process = start_tethered(
        [sys.executable, "-m", "benchmarks.exposition", kind],
        environment=process_environment({"METRICS_PORT": str(port)}),
    )
    try:
        wait_until_it_serves(port, process)
        yield port
    finally:
        stop_process(process, signals={signal.SIGTERM: 5.0, signal.SIGKILL: 5.0})


def wait_until_it_serves(port: int, process: subprocess.Popen[bytes]) -> None:
    """Poll; fails if the process ends instead."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            page(port)
            return
        time.sleep(0.1)
    raise SystemExit("A process did not serve its metrics.")


def main() -> int:
    """Print the table; exit status 1 if the target is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", nargs="?", choices=("worker", "alone"))
    parser.add_argument("--rounds", type=int, default=40)
    given = parser.parse_args()
    if given.kind is not None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # leaves no files
        be_a_worker() if given.kind == "worker" else be_alone()
        return 0
    times: dict[str, list[float]] = {"worker": [], "alone": []}
    with serving("worker") as worker, serving("alone") as alone:
        ports = {"worker": worker, "alone": alone}
        lines = {
            kind: sum(line.startswith("scenebook_") for line in page(port).splitlines())
            for kind, port in ports.items()
        }
        for _ in range(given.rounds):
            for kind, port in ports.items():
                began = time.perf_counter()
                page(port)
                times[kind].append(1000 * (time.perf_counter() - began))
    medians = {kind: statistics.median(took) for kind, took in times.items()}
    ratio = medians["worker"] / medians["alone"]
    table = Table("page", "series", "median ms", title="A page of metrics")
    table.add_row(
        f"worker, {PROCESSES} processes", str(lines["worker"]), f"{medians['worker']:.1f}"
    )
    table.add_row("a single process", str(lines["alone"]), f"{medians['alone']:.1f}")
    table.add_row("times as much", "", f"{ratio:.1f} (target: at most {TARGET:g})")
    Console().print(table)
    return int(ratio > TARGET)


if __name__ == "__main__":
    raise SystemExit(main())
