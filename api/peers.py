"""Where a request comes from, as far as its headers can be believed."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from fastapi import Request

from scenebook.settings import Settings

FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def address_of(request: Request, settings: Settings) -> str:
    """The client's address; behind proxies that are trusted, as the outermost of them saw it.

    IPv6 clients are told apart by their network (/64): one of them has any number of addresses.
    """
    peer = request.client.host if request.client is not None else ""
    hops = settings.trusted_proxies
    if hops:
        forwarded = ",".join(request.headers.getlist("x-forwarded-for"))
        seen = [part.strip() for part in forwarded.split(",") if part.strip()]
        # Each proxy appends whom it saw; whatever stands further left, the client wrote itself.
        if seen:
            peer = seen[-min(hops, len(seen))]
    address = parsed(peer)
    if address is None:
        return "unknown"
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


def is_this_machine(request: Request) -> bool:
    """Whether somebody on this machine asks, and no page of another site nor a proxy in between.

    A name of another site may resolve to this machine, and any page may post to it: so the Host
    header, and the Origin if there is one, must be this machine too.
    """
    peer = parsed(request.client.host) if request.client is not None else None
    if peer is None or not peer.is_loopback:
        return False
    if any(name in request.headers for name in FORWARDED):
        return False
    origins = request.headers.getlist("origin")
    return _is_local(f"//{request.headers.get('host', '')}") and all(map(_is_local, origins))


def is_inside(request: Request) -> bool:
    """Whether somebody in our private network asks, and not a proxy for somebody outside."""
    peer = parsed(request.client.host) if request.client is not None else None
    if peer is None or any(name in request.headers for name in FORWARDED):
        return False
    return peer.is_loopback or peer.is_private


def parsed(text: str) -> Address | None:
    """The address, IPv4 also if written as IPv6; None if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_local(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    if host == "localhost":
        return True
    address = parsed(host)
    return address is not None and address.is_loopback
