"""Supervised child processes: one request at a time over pipes, under a deadline that holds.

The parent's half is `Child`; the child's half is `scenebook.child_side.serve`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psutil
import structlog

from scenebook import metrics
from scenebook.child_output import ChildOutput
from scenebook.child_pipes import Pipes, reply_of
from scenebook.child_side import EXIT_OUT_OF_MEMORY, pack, serve
from scenebook.environment import child_environment
from scenebook.errors import ChildDied, DeadlineExceeded, InvalidInput, ScenebookError
from scenebook.temporary import own_prefix

__all__ = ["Child", "serve"]

log = structlog.get_logger(__name__)

Progress = Callable[[dict[str, Any]], None]

# Interpreter start and imports of the child; a request's own deadline begins after it.
START_TIMEOUT_S = 60.0
# How often a waiting parent looks at the child's memory.
WATCH_INTERVAL_S = 0.1
# A killed process is reaped at once unless the kernel holds it; the deadline must hold even then.
REAP_TIMEOUT_S = 0.3
CLOSE_TIMEOUT_S = 2.0


class Child:
    """A child process that starts on first use and again after its death, and can be killed.

    `module` runs as `python -m module` and calls `serve`; `memory_mb` bounds its resident memory in
    MiB; `environment` is added to the environment, which holds no secrets. With `own_directory` it
    works in an empty directory of its own, removed when it ends. `request` serves one thread at a
    time (others wait within their own timeout); `kill` may be called from any thread.
    """

    def __init__(
        self,
        module: str,
        *,
        name: str,
        memory_mb: int | None = None,
        environment: Mapping[str, str] | None = None,
        own_directory: bool = False,
    ) -> None:
        self._module = module
        self._name = name
        self._memory_mb = memory_mb
        self._environment = dict(environment or {})
        self._output = ChildOutput(name)
        self._own_directory = own_directory
        self._forget()
        _children.add(self)

    def _forget(self) -> None:
        self._turn = threading.Lock()
        # Signalling and reaping exclude each other, so that no signal meets a re-used process id.
        self._reaping = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: str | None = None
        self._working: int | None = None
        self._starts = 0

    @property
    def pid(self) -> int | None:
        """The process id while the child lives."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    @property
    def restarts(self) -> int:
        """How often the child was started again in this process."""
        return max(0, self._starts - 1)

    def start(self) -> None:
        """Start the child if it is not running; returns when it is ready for a request."""
        with self._turn:
            self._running()

    def request(
        self,
        message: dict[str, Any],
        *,
        timeout_s: float,
        on_progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Send {"op": ..., ...} and return the child's reply within timeout_s seconds.

        Starting the child, where needed, has its own limit. Raises DeadlineExceeded (the child's
        whole process group is gone by then), ChildDied (it ended, was killed, broke the protocol or
        outgrew its memory), InvalidInput (the message cannot be packed) or the ScenebookError that
        the child's handler raised.
        """
        began = time.monotonic()
        packed = _packed(message)
        if not self._turn.acquire(timeout=timeout_s):
            raise DeadlineExceeded(f"The {self._name} child was busy for {timeout_s:g} s.")
        outcome = "refused"
        try:
            waited_s = time.monotonic() - began
            process = self._running()
            deadline = time.monotonic() + max(0.0, timeout_s - waited_s)
            reply = self._exchange(process, packed, deadline, on_progress)
            outcome = "answered"
            return reply
        except DeadlineExceeded:
            outcome = "timeout"
            raise DeadlineExceeded(f"Timeout after {timeout_s:.1f}s") from None
        except ChildDied:
            outcome = "died"
            raise
        finally:
            metrics.CHILD_REQUESTS.labels(self._name, outcome).inc()
            self._turn.release()

    def kill(self) -> None:
        """Kill the child's process group now; a request in progress raises ChildDied."""
        process = self._process
        if process is not None:
            self._signal(process)
            # The next request must not meet a process that is still dying.
            with self._reaping, suppress(subprocess.TimeoutExpired):
                process.wait(REAP_TIMEOUT_S)

    def close(self) -> None:
        """End the child, gently if it is idle, and release its pipes."""
        if not self._turn.acquire(blocking=False):
            self.kill()
            self._turn.acquire()
        try:
            process, self._process = self._process, None
            if process is None:
                return
            assert process.stdin is not None
            process.stdin.close()  # an idle child ends at the end of its input
            with suppress(subprocess.TimeoutExpired):
                process.wait(CLOSE_TIMEOUT_S)
            self._end(process)
        finally:
            self._turn.release()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        if self._process is not None:
            self._end(self._process)
        process = _spawner().submit(self._spawn).result(START_TIMEOUT_S)
        self._output.listen(process)
        self._process = process
        self._starts += 1
        metrics.CHILD_STARTS.labels(self._name, "again" if self.restarts else "first").inc()
        log.info("child_started", child=self._name, pid=process.pid, restarts=self.restarts)
        ready = False
        try:
            self._pipes(process).receive(time.monotonic() + START_TIMEOUT_S)
            ready = True
        except (EOFError, ValueError):
            raise self._death(process) from None
        except DeadlineExceeded:
            raise ChildDied(
                f"The {self._name} child did not start in {START_TIMEOUT_S:g} s."
            ) from None
        finally:
            if not ready:
                self._end(process)
        return process

    def _spawn(self) -> subprocess.Popen[bytes]:
        if self._own_directory:
            self._directory = tempfile.mkdtemp(prefix=f"{own_prefix()}child-")
        return subprocess.Popen(
            # The child compares this process id with its parent's, in case we die before it asks.
            [sys.executable, "-m", self._module, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=child_environment() | self._environment,
            cwd=self._directory,
            start_new_session=True,
            bufsize=0,
        )

    def _pipes(self, process: subprocess.Popen[bytes]) -> Pipes:
        return Pipes(process, tick=lambda: self._watch_memory(process), tick_s=WATCH_INTERVAL_S)

    def _exchange(
        self,
        process: subprocess.Popen[bytes],
        packed: bytes,
        deadline: float,
        on_progress: Progress | None,
    ) -> dict[str, Any]:
        answered = False
        self._working = None
        self._output.about = structlog.contextvars.get_contextvars()
        try:
            pipes = self._pipes(process)
            pipes.send(packed, deadline)
            while (answer := pipes.receive(deadline)).keys() & {"progress", "working"}:
                if "working" in answer:
                    self._working = int(answer["working"])
                elif on_progress is not None:
                    on_progress(answer["progress"])
            reply = reply_of(answer)
            answered = True
        except EOFError:
            raise self._death(process) from None
        except ValueError as error:
            raise ChildDied(f"The {self._name} child broke the protocol: {error}.") from None
        finally:
            # Whatever went wrong, even in on_progress: the late reply must not answer the next one.
            if not answered:
                self._end(process)
        if isinstance(reply, ScenebookError):
            raise reply
        return reply

    def _watch_memory(self, process: subprocess.Popen[bytes]) -> None:
        if self._memory_mb is None:
            return
        with suppress(psutil.Error):
            used_mb = psutil.Process(self._working or process.pid).memory_info().rss / 2**20
            if used_mb > self._memory_mb:
                raise ChildDied(
                    f"The {self._name} child used {used_mb:.0f} MB of memory; its limit is "
                    f"{self._memory_mb} MB.",
                    code="out_of_memory",
                )

    def _death(self, process: subprocess.Popen[bytes]) -> ChildDied:
        with self._reaping, suppress(subprocess.TimeoutExpired):
            process.wait(REAP_TIMEOUT_S)
        status = process.returncode
        if status == EXIT_OUT_OF_MEMORY:
            return ChildDied(f"The {self._name} child ran out of memory.", code="out_of_memory")
        if status is not None and status < 0:
            return ChildDied(f"The {self._name} child was killed ({signal.Signals(-status).name}).")
        return ChildDied(f"The {self._name} child ended unexpectedly (exit status {status}).")

    def _signal(self, process: subprocess.Popen[bytes]) -> None:
        with self._reaping:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Kill the group if it lives, reap the child, close the pipes."""
        self._signal(process)
        with self._reaping, suppress(subprocess.TimeoutExpired):
            process.wait(REAP_TIMEOUT_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
        if self._process is process:
            self._process = None
        log.info("child_ended", child=self._name, pid=process.pid, status=process.returncode)


def _packed(message: dict[str, Any]) -> bytes:
    try:
        return pack(message)
    except (TypeError, ValueError, OverflowError) as error:
        # A lone surrogate in a text, for example: the message's fault, not the child's.
        raise InvalidInput(f"The message cannot be sent to a child process: {error}.") from error


_children: weakref.WeakSet[Child] = weakref.WeakSet()
_executor: ThreadPoolExecutor | None = None
_executor_lock = threading.Lock()


def _spawner() -> ThreadPoolExecutor:
    # PR_SET_PDEATHSIG fires when the creating THREAD ends, so one thread that lives as long as this
    # process creates all children.
    global _executor
    with _executor_lock:
        if _executor is None:
            _executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")
        return _executor


def _forget_after_fork() -> None:
    # A forked process has no spawner thread, and its parent's children are not its own. Closing
    # our copies of the pipes lets those children see the end of their input.
    global _executor, _executor_lock
    _executor, _executor_lock = None, threading.Lock()
    for child in _children:
        process = child._process
        if process is not None:
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
            process.returncode = 0  # so that Popen neither waits nor warns about it
        child._forget()


os.register_at_fork(after_in_child=_forget_after_fork)
