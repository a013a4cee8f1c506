"""Which hosts a request for an owner may reach: public addresses, and what the settings allow."""

from __future__ import annotations

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from scenebook.errors import InvalidInput, Unavailable
from scenebook.settings import Settings

# A host and a port in, addresses as text out. Raises OSError.
Resolver = Callable[[str, int], Sequence[str]]

MAX_URL = 2000
# The system's resolver has no time bound of its own worth the name. A look-up that is given up goes
# on in its thread, so there is a limit to those, too.
LOOK_UP_S = 5.0
LOOK_UPS_AT_ONCE = 32
# On other ports of public machines databases and mail servers wait for lines they understand.
PORTS = frozenset({80, 443, 8080, 8443})
NEARBY = ("localhost", "internal", "local", "home.arpa", "lan", "intranet", "corp")
NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)+")
NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Of the global unicast addresses these lead elsewhere: Teredo and its kin, 6to4, documentation.
DETOURS = tuple(
    ipaddress.ip_network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)
UNICAST = ipaddress.IPv6Network("2000::/3")
RELAYS = ipaddress.IPv4Network("192.88.99.0/24")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes; `target` is its path and query, and `allowed` skips the check."""

    scheme: str
    host: str
    port: int
    target: str
    allowed: bool

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return (self.scheme, self.host, self.port)


def allowed_hosts(settings: Settings) -> frozenset[str]:
    """The hosts of FETCH_ALLOW_HOSTS."""
    listed = (settings.fetch_allow_hosts or "").split(",")
    return frozenset(one.strip().lower().rstrip(".") for one in listed if one.strip())


def place_of(url: str, *, allow_hosts: frozenset[str] = frozenset()) -> Place:
    """Where a URL leads. Raises InvalidInput (`url_not_allowed`); resolves nothing."""
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise not_allowed(
            f"A URL has at most {MAX_URL} characters, all of them printable ASCII. Write other "
            "characters as %XX, and other hosts as xn--…."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise not_allowed(
            "This is not a URL. It looks like https://example.org/video.mp4."
        ) from None
    if parts.scheme not in ("http", "https"):
        raise not_allowed("The URL must begin with http:// or https://.")
    if "@" in parts.netloc or "\\" in url:
        raise not_allowed("The URL must hold no user name, password or backslash.")
    host = (parts.hostname or "").rstrip(".")
    allowed = host in allow_hosts
    port = port or (443 if parts.scheme == "https" else 80)
    if not allowed:
        _check_host(host)
        if port not in PORTS:
            listed = ", ".join(str(one) for one in sorted(PORTS))
            raise not_allowed(f"The URL's port must be one of {listed}.")
    return Place(parts.scheme, host, port, _target(parts), allowed)


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _check_host(host: str) -> None:
    """A public name, or a public address in its only usual spelling."""
    try:
        if not is_public(host):
            raise not_allowed("The URL's address is not public.")
        return
    except ValueError:
        pass
    last = host.rpartition(".")[2]
    if NUMBER.fullmatch(last):
        raise not_allowed("Write an address as four decimal numbers, as 93.184.215.14.")
    if len(host) > 253 or not NAME.fullmatch(host):
        raise not_allowed("The URL's host is not a public name, as example.org is.")
    if any(host == one or host.endswith(f".{one}") for one in NEARBY):
        raise not_allowed("The URL's host is a name of a private network.")


def is_public(address: str) -> bool:
    """Whether an address can belong to a machine on the public Internet.

    Raises ValueError if it is no address.
    """
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv4Address):
        return found.is_global and not found.is_multicast and found not in RELAYS
    if found.scope_id is not None or found not in UNICAST:
        return False  # so too ::ffff:127.0.0.1, 64:ff9b::/96 and every local range
    return found.is_global and not any(found in network for network in DETOURS)


def addresses_of(place: Place, *, resolver: Resolver, within_s: float = LOOK_UP_S) -> list[str]:
    """The addresses to connect to. Raises InvalidInput if any is not public, or Unavailable.

    One that is not public condemns all: a name that leads inside is no accident.
    """
    try:
        found = _looked_up(place, resolver, within_s)
    except (OSError, UnicodeError) as error:
        if isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN:
            raise Unavailable(
                "The URL's host cannot be looked up now.", code="fetch_failed"
            ) from error
        raise InvalidInput("The URL's host does not exist.", code="fetch_failed") from error
    if not found:
        raise InvalidInput("The URL's host has no address.", code="fetch_failed")
    if not place.allowed and not all(is_public(one) for one in found):
        raise not_allowed("The URL's host has an address that is not public.")
    return found


_look_ups = threading.BoundedSemaphore(LOOK_UPS_AT_ONCE)


def _looked_up(place: Place, resolver: Resolver, within_s: float) -> list[str]:
    """What the resolver says in time. Raises OSError."""
    late = socket.gaierror(socket.EAI_AGAIN, "The name servers did not answer in time.")
    slots = _look_ups
    if not slots.acquire(timeout=within_s):
        raise late
    answer: Future[list[str]] = Future()

    def ask() -> None:
        try:
            answer.set_result(list(resolver(place.host, place.port)))
        except Exception as error:  # noqa: BLE001 - it is raised again by whoever waits
            answer.set_exception(error)
        finally:
            slots.release()

    # No pool: the end of this process would wait for a pool's threads.
    try:
        threading.Thread(target=ask, name="look-up", daemon=True).start()
    except RuntimeError:  # this process may have no more threads now
        slots.release()
        raise late from None
    try:
        return answer.result(within_s)
    except TimeoutError:
        raise late from None


def look_up(host: str, port: int) -> list[str]:
    """The system's resolver; IPv4 first, which more machines can reach."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ordered = sorted(found, key=lambda one: one[0] != socket.AF_INET)
    return list(dict.fromkeys(str(one[4][0]) for one in ordered))


def check_url(
    url: str, *, allow_hosts: frozenset[str] = frozenset(), resolver: Resolver = look_up
) -> None:
    """Refuse what could never be fetched, before anything is stored.

    What it finds does not hold later: whoever connects checks again, and uses what it checked.
    Raises InvalidInput (`url_not_allowed`, `fetch_failed`).
    """
    place = place_of(url, allow_hosts=allow_hosts)
    try:
        addresses_of(place, resolver=resolver)
    except Unavailable:
        return  # a resolver that is away says nothing about the URL


def not_allowed(message: str) -> InvalidInput:
    """The error for a URL that must not be fetched."""
    return InvalidInput(message, code="url_not_allowed")
