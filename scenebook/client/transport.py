"""Does the steps of calls over HTTP, in this thread or in an event loop."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload
from urllib.parse import urlsplit

import httpx

from scenebook import errors, tracing
from scenebook.client.bodies import Body
from scenebook.client.errors import ApiError, Unreachable
from scenebook.client.steps import Ask, Found, Items, Listen, NextLine, Pause, Reply, Step, Steps

T = TypeVar("T")
P = ParamSpec("P")


class Run(Generic[T]):
    """One call on its way: the next step, once what came of the last one is known."""

    def __init__(self, steps: Steps[T] | Items[Any]) -> None:
        self._steps = steps
        self._came: Any = None
        self._failed: ApiError | None = None
        self.result: Any = None

    def next(self) -> Step | None:
        """The next step; None when the call is over. Raises what the call raises."""
        came, failed = self._came, self._failed
        self._came = self._failed = None
        try:
            return self._steps.send(came) if failed is None else self._steps.throw(failed)
        except StopIteration as done:
            self.result = done.value
            return None

    def came(self, value: Any) -> None:
        """What came of the step."""
        self._came = value

    def failed(self, error: Exception) -> None:
        """The service did not answer."""
        self._failed = Unreachable(f"The service does not answer: {error or type(error).__name__}.")


class Blocking:
    """Does steps in the thread of the caller."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def run(self, steps: Steps[T]) -> T:
        """Do a call."""
        run: Run[T] = Run(steps)
        for _ in self._items(run):
            pass
        result: T = run.result
        return result

    def each(self, steps: Items[T]) -> Iterator[T]:
        """Do a call item by item."""
        return self._items(Run(steps))

    def _items(self, run: Run[Any]) -> Iterator[Any]:
        lines: Iterator[str] = iter(())
        opened: list[httpx.Response] = []
        try:
            while (step := run.next()) is not None:
                try:
                    match step:
                        case Ask():
                            with self._http.stream(**_request(step, _pieces)) as response:
                                run.came(_reply(response, response.read()))
                        case Listen():
                            request = self._http.build_request(**_listening(step))
                            opened.append(self._http.send(request, stream=True))
                            lines = opened[-1].iter_lines()
                            failed = opened[-1].is_error
                            run.came(_reply(opened[-1], opened[-1].read() if failed else b""))
                        case NextLine():
                            run.came(next(lines, None))
                        case Pause():
                            time.sleep(step.seconds)
                        case Found():
                            yield step.item
                except httpx.RequestError as error:
                    run.failed(error)
        finally:
            for response in opened:
                response.close()


class Awaiting:
    """Does steps in the caller's event loop; files are read in threads."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def run(self, steps: Steps[T]) -> T:
        """Do a call."""
        run: Run[T] = Run(steps)
        async for _ in self._items(run):
            pass
        result: T = run.result
        return result

    def each(self, steps: Items[T]) -> AsyncIterator[T]:
        """Do a call item by item."""
        return self._items(Run(steps))

    async def _items(self, run: Run[Any]) -> AsyncIterator[Any]:
        lines: AsyncIterator[str] | None = None
        opened: list[httpx.Response] = []
        try:
            while (step := run.next()) is not None:
                try:
                    match step:
                        case Ask():
                            async with self._http.stream(**_request(step, _apieces)) as response:
                                run.came(_reply(response, await response.aread()))
                        case Listen():
                            request = self._http.build_request(**_listening(step))
                            opened.append(await self._http.send(request, stream=True))
                            lines = opened[-1].aiter_lines()
                            failed = opened[-1].is_error
                            said = await opened[-1].aread() if failed else b""
                            run.came(_reply(opened[-1], said))
                        case NextLine():
                            run.came(None if lines is None else await anext(lines, None))
                        case Pause():
                            await asyncio.sleep(step.seconds)
                        case Found():
                            yield step.item
                except httpx.RequestError as error:
                    run.failed(error)
        finally:
            for response in opened:
                await response.aclose()


class Operation(Generic[P, T]):
    """A method of either client: it returns at once in one, and is awaited in the other."""

    def __init__(self, steps: Callable[Concatenate[Any, P], Steps[T]]) -> None:
        self._steps = steps

    @overload
    def __get__(self, client: Blocking, kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: Awaiting, kind: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, client: None, kind: type) -> Callable[Concatenate[Any, P], Steps[T]]: ...
    def __get__(self, client: Blocking | Awaiting | None, kind: type) -> Any:
        """The method of this client; of a class, the steps, so that `help` describes them."""
        if client is None:
            return self._steps

        @functools.wraps(self._steps)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.run(self._steps(client, *args, **kwargs))

        return call


class Series(Generic[P, T]):
    """A method of either client that gives items one by one, for `for` or `async for`."""

    def __init__(self, items: Callable[Concatenate[Any, P], Items[T]]) -> None:
        self._items = items

    @overload
    def __get__(self, client: Blocking, kind: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, client: Awaiting, kind: type) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, client: None, kind: type) -> Callable[Concatenate[Any, P], Items[T]]: ...
    def __get__(self, client: Blocking | Awaiting | None, kind: type) -> Any:
        """The method of this client; of a class, the steps, so that `help` describes them."""
        if client is None:
            return self._items

        @functools.wraps(self._items)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.each(self._items(client, *args, **kwargs))

        return call


def options(url: str, key: str | None, timeout: float) -> dict[str, Any]:
    """How httpx reaches the service. Raises ConfigurationError for what cannot be one."""
    base = url.strip().rstrip("/")
    try:
        parts = urlsplit(base)
        fits = parts.scheme in ("http", "https") and parts.hostname is not None
    except ValueError:
        fits = False
    if not fits:
        raise errors.ConfigurationError("The URL of the service must look like https://host.")
    headers = {"User-Agent": "scenebook-client"}
    if (traceparent := tracing.current()) is not None:  # of a command; it has one for all it asks
        headers["traceparent"] = traceparent
    if key is not None:
        if not key.strip().isascii() or not key.strip().isprintable():
            raise errors.ConfigurationError("The key holds characters that no key has.")
        headers["Authorization"] = f"Bearer {key.strip()}"
    return {"base_url": base, "headers": headers, "timeout": timeout, "follow_redirects": False}


def _request(ask: Ask, pieces: Callable[[Body], Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "method": ask.method,
        "url": ask.path,
        "params": ask.query(),
        "headers": dict(ask.headers),
    }
    if ask.body is not None:
        # The types of a body are bounded, so httpx must be told its length.
        asked["headers"] |= {
            "Content-Type": ask.body.content_type,
            "Content-Length": str(ask.body.size),
        }
        asked["content"] = pieces(ask.body)
    return asked


def _listening(step: Listen) -> dict[str, Any]:
    return _request(step.ask, _pieces) | {"timeout": httpx.Timeout(10, read=step.silence_s)}


def _reply(response: httpx.Response, content: bytes) -> Reply:
    return Reply(
        response.status_code,
        {name.lower(): value for name, value in response.headers.items()},
        content,
    )


def _pieces(body: Body) -> Iterator[bytes]:
    return body.pieces()


async def _apieces(body: Body) -> AsyncIterator[bytes]:
    pieces = body.pieces()
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
