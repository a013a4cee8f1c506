"""HTTP requests to URLs that owners name: public addresses only, bounded in time and size.

A name is looked up once, every address of it is checked, and the connection goes to the address
that was checked, so a name server that changes its mind changes nothing. TLS and `Host` still speak
of the name. Redirects are checked like the first URL. The environment's proxies are not used.
"""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpcore

from scenebook.addresses import Place, Resolver, addresses_of, look_up, not_allowed, place_of
from scenebook.errors import InvalidInput, TooLarge, Unavailable
from scenebook.local_disk import check_room, writing

CONNECT_S = 10.0
SILENCE_S = 30.0
REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Another attempt may bring the file.
PASSING = frozenset({408, 425, 429})
USER_AGENT = "scenebook/1"


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer, whatever its status; names of headers are lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Downloaded:
    """A file that was fetched: its size, its SHA-256 in hexadecimal, and what it claims to be."""

    bytes: int
    content_hash: str
    content_type: str | None


def fetch(
    url: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    content: bytes | None = None,
    timeout_s: float = 15,
    max_bytes: int = 1_000_000,
    allow_hosts: frozenset[str] = frozenset(),
    max_redirects: int = 0,
    resolver: Resolver = look_up,
) -> Fetched:
    """One request; without redirects to follow, a redirect is an answer like any other.

    `timeout_s` bounds all of it, redirects too; with 0 for `max_bytes` no body is read. Raises
    InvalidInput (`url_not_allowed`, `fetch_failed`), TooLarge, or Unavailable (`fetch_failed`) if
    another attempt may succeed.
    """
    sending = _Sending(method, dict(headers or {}), content)
    rules = _Rules(time.monotonic() + timeout_s, allow_hosts, max_redirects, resolver)
    with _answer(url, sending, rules) as response:
        received = bytearray()
        for part in _parts(response, rules, max_bytes=max_bytes) if max_bytes else ():
            received += part
        return Fetched(response.status, _headers(response), bytes(received))


def download(
    url: str,
    path: Path,
    *,
    timeout_s: float,
    max_bytes: int,
    allow_hosts: frozenset[str] = frozenset(),
    max_redirects: int = 3,
    resolver: Resolver = look_up,
    on_part: Callable[[int, int | None], None] = lambda _done, _total: None,
) -> Downloaded:
    """Fetch a URL into a file; `on_part` hears the bytes so far and in all, and may raise.

    Raises as `fetch`, and for any status but 200: Unavailable where another attempt may help, so
    too if this machine has no room for it (`disk_full`).
    """
    sending = _Sending("GET", {"Accept": "*/*"}, None)
    rules = _Rules(time.monotonic() + timeout_s, allow_hosts, max_redirects, resolver)
    with _answer(url, sending, rules) as response:
        _check_status(response.status)
        given = _headers(response)
        total = _length(given)
        if total is not None and total > max_bytes:
            raise _too_large(max_bytes)
        check_room(path.parent, total or 0)
        digest, done = hashlib.sha256(), 0
        # Errors of the network are httpcore's, so only those of the disk are caught here.
        with writing(path), path.open("wb") as file:
            for part in _parts(response, rules, max_bytes=max_bytes):
                file.write(part)
                digest.update(part)
                done += len(part)
                on_part(done, total)
    return Downloaded(done, digest.hexdigest(), given.get("content-type"))


@dataclass(frozen=True, slots=True)
class _Sending:
    method: str
    headers: dict[str, str]
    content: bytes | None


@dataclass(frozen=True, slots=True)
class _Rules:
    give_up_at: float
    allow_hosts: frozenset[str]
    max_redirects: int
    resolver: Resolver

    def left_s(self, at_most: float) -> float:
        """Seconds that one step may take."""
        left = self.give_up_at - time.monotonic()
        if left <= 0:
            raise httpcore.TimeoutException("The time is over.")
        return min(left, at_most)


@contextmanager
def _answer(url: str, sending: _Sending, rules: _Rules) -> Iterator[httpcore.Response]:
    """The last answer of a chain of redirects, its body unread."""
    place, headers = place_of(url, allow_hosts=rules.allow_hosts), sending.headers
    with _plainly():
        for hop in range(rules.max_redirects + 1):
            with _one_answer(place, sending, headers, rules) as response:
                to = _headers(response).get("location")
                if response.status not in REDIRECTS or to is None or rules.max_redirects == 0:
                    yield response
                    return
                if hop == rules.max_redirects:
                    break
            there = _redirected(url, to, rules)
            url = urljoin(url, to)
            # What was meant for one host is no other's business.
            headers = headers if there.origin == place.origin else {}
            place = there
        raise InvalidInput(
            f"The URL redirects more than {rules.max_redirects} times.", code="fetch_failed"
        )


def _redirected(url: str, to: str, rules: _Rules) -> Place:
    place = place_of(urljoin(url, to), allow_hosts=rules.allow_hosts)
    if url.startswith("https:") and place.scheme != "https":
        raise not_allowed("The URL redirects from https to http.")
    return place


@contextmanager
def _one_answer(
    place: Place, sending: _Sending, headers: Mapping[str, str], rules: _Rules
) -> Iterator[httpcore.Response]:
    host = f"[{place.host}]" if ":" in place.host else place.host
    usual = place.port == (443 if place.scheme == "https" else 80)
    sent = {
        "Host": host if usual else f"{host}:{place.port}",
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        **headers,
    }
    target = httpcore.URL(
        scheme=place.scheme.encode(),
        host=place.host.encode(),
        port=place.port,
        target=place.target.encode(),
    )
    with (
        httpcore.ConnectionPool(network_backend=_Checked(place, rules)) as pool,
        pool.stream(
            sending.method,
            target,
            headers=list(sent.items()),
            content=sending.content,
        ) as response,
    ):
        yield response


@contextmanager
def _plainly() -> Iterator[None]:
    """Errors of the network as ours. They repeat nothing that could describe the network."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise Unavailable("The URL's host did not answer in time.", code="fetch_failed") from error
    except (httpcore.NetworkError, ssl.SSLError) as error:
        raise Unavailable("The URL's host could not be reached.", code="fetch_failed") from error
    except (httpcore.ProtocolError, httpcore.UnsupportedProtocol) as error:
        raise Unavailable(
            "The URL's host broke off, or its answer is not valid HTTP.", code="fetch_failed"
        ) from error


def _parts(response: httpcore.Response, rules: _Rules, *, max_bytes: int) -> Iterator[bytes]:
    """The body as it arrives; never decompressed, for a small answer could become a huge one."""
    if _headers(response).get("content-encoding", "identity").lower() != "identity":
        raise InvalidInput(
            "The URL's host compresses its answer although it was asked not to.",
            code="fetch_failed",
        )
    received = 0
    for part in response.iter_stream():
        received += len(part)
        if received > max_bytes:
            raise _too_large(max_bytes)
        yield part


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The answer of the URL's host is larger than {max_bytes} bytes.")


def _check_status(status: int) -> None:
    if status == 200:
        return
    message = f"The URL's host answered with status {status}."
    if status in PASSING or status >= 500:
        raise Unavailable(message, code="fetch_failed")
    raise InvalidInput(message, code="fetch_failed")


def _headers(response: httpcore.Response) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }


def _length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 19 else None


class _Checked(httpcore.NetworkBackend):
    """Connects to the addresses that were checked, and bounds every step by the deadline."""

    def __init__(self, place: Place, rules: _Rules) -> None:
        self._place = place
        self._rules = rules
        self._network = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Try the checked addresses in turn; the name is not looked up again."""
        addresses = addresses_of(
            self._place, resolver=self._rules.resolver, within_s=self._rules.left_s(CONNECT_S)
        )
        for place, address in enumerate(addresses):
            try:
                stream = self._network.connect_tcp(
                    address, port, timeout=self._rules.left_s(CONNECT_S)
                )
                return _Bounded(stream, self._rules)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if place == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError("There is no address.")


class _Bounded(httpcore.NetworkStream):
    """A stream on which no step outlasts the deadline, so that dripping bytes do not hold us."""

    def __init__(self, stream: httpcore.NetworkStream, rules: _Rules) -> None:
        self._stream = stream
        self._rules = rules

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Bytes that arrive in time."""
        return self._stream.read(max_bytes, self._rules.left_s(SILENCE_S))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send in time."""
        self._stream.write(buffer, self._rules.left_s(SILENCE_S))

    def close(self) -> None:
        """Give the connection back."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """TLS with the name's certificate, whatever address it was reached at."""
        inner = self._stream.start_tls(ssl_context, server_hostname, self._rules.left_s(CONNECT_S))
        return _Bounded(inner, self._rules)

    def get_extra_info(self, info: str) -> Any:
        """What the connection knows of itself."""
        return self._stream.get_extra_info(info)
