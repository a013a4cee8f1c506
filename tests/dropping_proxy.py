"""A proxy before Postgres that drops a connection around its COMMIT, as a broken network does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal
from urllib.parse import parse_qs, urlsplit

When = Literal["before", "after"]
PIECE = 65536


class DroppingProxy:
    """Forwards from a port of this machine to the server's socket; `drop` arms it once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._path = parse_qs(parts.query)["host"][0] + "/.s.PGSQL.5432"
        self._listening = socket.create_server(("127.0.0.1", 0))
        port = self._listening.getsockname()[1]
        self.url = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}"
        self._armed: When | None = None
        self.dropped = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self, when: When) -> None:
        """Drop the connection of the next COMMIT: before it arrives, or after it is answered."""
        self._armed = when

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._path)
                for one, run in ((client, self._requests), (server, _answers)):
                    other = server if one is client else client
                    threading.Thread(target=run, args=(one, other), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while piece := client.recv(PIECE):
                if self._armed is not None and b"COMMIT" in piece:
                    when, self._armed = self._armed, None
                    self.dropped += 1
                    if when == "after":
                        client.shutdown(socket.SHUT_RDWR)  # no answer can come back
                        server.sendall(piece)
                    break
                server.sendall(piece)
        # Postgres ends the session when it has done what it was sent.
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


def _answers(server: socket.socket, client: socket.socket) -> None:
    with suppress(OSError):
        while piece := server.recv(PIECE):
            client.sendall(piece)
    for one in (client, server):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def dropping(url: str) -> Iterator[DroppingProxy]:
    """A proxy for the length of the block."""
    proxy = DroppingProxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
