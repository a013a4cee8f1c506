"""A child process that misbehaves on demand, for the tests of scenebook.children."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from scenebook.child_side import LENGTH, serve
from scenebook.errors import InvalidMedia

Progress = Callable[[dict[str, Any]], None]
held: list[bytearray] = []
# serve() moves the protocol away from descriptor 1; this copy is how a broken library would write.
protocol_fd = os.dup(1)


def echo(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    return {"echo": request["payload"]}


def count(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    for step in range(request["steps"]):
        progress({"step": step})
    return {"done": True}


def hang(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    if request.get("grandchild"):
        if (pid := os.fork()) == 0:
            time.sleep(600)
        progress({"pid": pid})
    while True:  # deaf to everything but SIGKILL, like a library's C code
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        time.sleep(600)


def crash(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def leave(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    os._exit(request["status"])


def chatter(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    print("a library prints to standard output", flush=True)  # noqa: T201
    os.write(1, b"and some C code writes to descriptor 1\n")
    print("and to standard error", file=sys.stderr, flush=True)  # noqa: T201
    return {"stdin": sys.stdin.read()}


def fail(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    if request["kind"] == "media":
        raise InvalidMedia("No video in it.", code="no_video")
    if request["kind"] == "memory":
        raise MemoryError
    raise RuntimeError("a bug")


def unpackable(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    return {"value": object()}


def hog(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    while True:
        held.append(bytearray(b"x" * (32 << 20)))
        time.sleep(0.02)


def babble(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    frames = {
        "garbage": LENGTH.pack(4) + b"\xc1\xc1\xc1\xc1",
        "number": LENGTH.pack(1) + b"\x07",
        "neither": LENGTH.pack(1) + b"\x80",
        "oversized": LENGTH.pack(0xFFFFFFFF),
        "truncated": LENGTH.pack(100) + b"ten bytes.",
    }
    os.write(protocol_fd, frames[request["what"]])
    os._exit(0)


if __name__ == "__main__":
    serve(
        {
            "echo": echo,
            "count": count,
            "hang": hang,
            "crash": crash,
            "leave": leave,
            "chatter": chatter,
            "fail": fail,
            "unpackable": unpackable,
            "hog": hog,
            "babble": babble,
        }
    )
