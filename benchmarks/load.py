"""Asks one request again and again over kept-alive connections, with little effort of its own."""

from __future__ import annotations

import asyncio
import re
import statistics
import time


class Client:
    """One kept-alive connection that sends the same request again and again."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self._request = request

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self) -> bytes:
        """The body of one answer; SystemExit if it is none."""
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        body = await self._reader.readexactly(int(length[1]) if length is not None else 0)
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise SystemExit(f"An answer was no answer:\n{head.decode()}{body.decode()}")
        return body

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()


async def latency_ms(port: int, request: bytes, *, requests: int) -> float:
    """Median time of requests one after another."""
    client = Client(port, request)
    await client.open()
    times = []
    for _ in range(requests):
        began = time.perf_counter()
        await client.ask()
        times.append((time.perf_counter() - began) * 1000)
    client.close()
    return statistics.median(times)


async def rate(port: int, request: bytes, *, connections: int, seconds: float) -> float:
    """Requests a second at so many connections."""
    clients = [Client(port, request) for _ in range(connections)]
    for client in clients:
        await client.open()
    until = time.perf_counter() + seconds

    async def work(client: Client) -> int:
        answered = 0
        while time.perf_counter() < until:
            await client.ask()
            answered += 1
        return answered

    answered = await asyncio.gather(*(work(client) for client in clients))
    for client in clients:
        client.close()
    return sum(answered) / seconds
