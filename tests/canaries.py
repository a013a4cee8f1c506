"""Notices whether anybody opens the files of a folder, or connects to a port."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

IN_OPEN = 0x20  # linux/inotify.h
EVENT = struct.Struct("=iIII")
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass
class Canary:
    """A folder and a port that nobody has business with."""

    folder: Path
    port: int
    _watch: int
    _visits: list[str] = field(default_factory=list)

    def disturbed(self) -> list[str]:
        """The names that were opened since the last time, and `connection` for each of those."""
        names, self._visits[:] = list(self._visits), []
        with suppress(BlockingIOError):
            while events := os.read(self._watch, 65536):
                while events:
                    *_, length = EVENT.unpack_from(events)
                    name = events[EVENT.size : EVENT.size + length].rstrip(b"\0").decode()
                    names.append(name or ".")
                    events = events[EVENT.size + length :]
        return names


@contextmanager
def canary(folder: Path) -> Iterator[Canary]:
    """Watch the folder and what lies in it, and a new port of this machine."""
    watch = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert watch >= 0, os.strerror(ctypes.get_errno())
    assert _libc.inotify_add_watch(watch, os.fsencode(folder), IN_OPEN) >= 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Canary(folder, server.getsockname()[1], watch)
        listening = threading.Thread(target=_listen, args=(server, found._visits), daemon=True)
        listening.start()
        try:
            yield found
        finally:
            os.close(watch)
            server.shutdown(socket.SHUT_RDWR)
            listening.join()


def _listen(server: socket.socket, visits: list[str]) -> None:
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            visits.append("connection")
            connection.close()
