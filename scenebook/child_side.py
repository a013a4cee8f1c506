"""The child's half of a supervised child process, and the messages both halves exchange.

A message is a big-endian 32-bit length and a msgpack map: the parent sends {"op": ..., ...}; the
child answers any number of {"progress": map} and one {"reply": map} or {"error": map}. A child that
answers in processes of their own first says {"working": process id}.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import struct
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NoReturn

import msgpack

from scenebook.confinement import no_new_privileges
from scenebook.errors import InvalidInput, ScenebookError

Handler = Callable[[dict[str, Any], Callable[[dict[str, Any]], None]], dict[str, Any]]

LENGTH = struct.Struct(">I")
MAX_MESSAGE_BYTES = 256 * 2**20
EXIT_OUT_OF_MEMORY = 77
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def pack(message: dict[str, Any]) -> bytes:
    """One message, ready to be written. Raises ValueError if it is too long."""
    body: bytes = msgpack.packb(message)
    if len(body) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message of {len(body)} bytes is over {MAX_MESSAGE_BYTES}")
    return LENGTH.pack(len(body)) + body


def unpack(body: bytes | bytearray) -> dict[str, Any]:
    """The map in a message's body. Raises ValueError if it holds anything else."""
    try:
        message = msgpack.unpackb(body, strict_map_key=False)
    except (msgpack.UnpackException, ValueError) as error:
        raise ValueError(f"not msgpack ({type(error).__name__})") from None
    if not isinstance(message, dict):
        raise ValueError("not a map")
    return message


def serve(
    handlers: Mapping[str, Handler],
    *,
    limits: Mapping[int, int] | None = None,
    confine: Callable[[dict[str, Any]], object] | None = None,
) -> NoReturn:
    """Answer requests from standard input until it closes; called by a child's `__main__`.

    `handlers` maps an "op" to a function of the request and of a function that reports progress.
    `limits` maps resource.RLIMIT_* to soft and hard values, beside "no core dumps".
    With `confine`, each request is answered by a process of its own, which calls it first: what it
    gives up and what a hostile request leaves behind end with that one request.
    The process dies with its parent. Prints go to standard error.
    """
    _die_with_parent(int(sys.argv[1]))
    no_new_privileges()
    for limit, value in {resource.RLIMIT_CORE: 0, **(limits or {})}.items():
        resource.setrlimit(limit, (value, value))
    requests, replies = _take_standard_streams()
    gc.freeze()  # a fork then shares what was loaded, instead of copying it to look for garbage

    def send(message: dict[str, Any]) -> None:
        replies.write(pack(message))
        replies.flush()

    def answer(request: dict[str, Any]) -> None:
        if confine is not None:
            send({"working": os.getpid()})
            confine(request)
        send(_answer(handlers, request, lambda progress: send({"progress": progress})))

    send({"reply": {"pid": os.getpid()}})
    while (request := _read_request(requests)) is not None:
        try:
            answer(request) if confine is None else _apart(answer, request)
        except MemoryError:
            # Nothing in this process can be trusted now; a fresh child is cheap.
            os._exit(EXIT_OUT_OF_MEMORY)
    sys.stderr.flush()
    os._exit(0)  # libraries' threads and exit handlers are not waited for


def _apart(answer: Callable[[dict[str, Any]], None], request: dict[str, Any]) -> None:
    """Answer in a fork of this process, which has one thread; die as the fork dies."""
    parent = os.getpid()
    if (pid := os.fork()) == 0:
        status = 1
        try:
            _die_with_parent(parent)
            answer(request)
            status = 0
        except MemoryError:
            status = EXIT_OUT_OF_MEMORY
        except BaseException:  # noqa: BLE001 - the door of a process: its parent reads the status
            traceback.print_exc(file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(parent, -status)
    if status != 0:
        os._exit(abs(status))


def _die_with_parent(parent_pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent_pid:
        os._exit(0)  # the parent ended before it could be watched


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Private copies of descriptors 0 and 1: a library's print cannot break the protocol."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def _read_request(requests: BinaryIO) -> dict[str, Any] | None:
    header = requests.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    (size,) = LENGTH.unpack(header)
    body = requests.read(size)
    return unpack(body) if len(body) == size else None


def _answer(
    handlers: Mapping[str, Handler],
    request: dict[str, Any],
    progress: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    op = str(request.get("op"))
    try:
        if op not in handlers:
            raise InvalidInput(f"The child has no operation {op!r}.")
        reply = handlers[op](request, progress)
        pack({"reply": reply})  # a reply that cannot travel is this handler's error
    except ScenebookError as error:
        return _error(error, str(error))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the door: the parent must get an answer
        traceback.print_exc(file=sys.stderr)
        # The details may name files of the machine; they are in the log, not in the answer.
        failed = ScenebookError()
        failed.retryable = True
        return _error(failed, f"An unexpected error ({type(error).__name__}) stopped {op}.")
    return {"reply": reply}


def _error(error: ScenebookError, message: str) -> dict[str, Any]:
    return {
        "error": {
            "class": type(error).__name__,
            "code": error.code,
            "message": message,
            "retryable": error.retryable,
        }
    }
