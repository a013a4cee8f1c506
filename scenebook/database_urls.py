"""What a database URL says of its server, before anybody connects."""

from __future__ import annotations

SCHEMES = ("postgres", "postgresql", "postgresql+psycopg")
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def is_postgres(url: str) -> bool:
    """True for the URL of a Postgres."""
    import sqlalchemy as sa  # a child process, which has no database, need not load it

    try:
        return sa.make_url(url).drivername in SCHEMES
    except (sa.exc.ArgumentError, ValueError):
        return False


def on_this_machine(url: str) -> bool:
    """True if each host that the URL names is a socket or loopback."""
    import sqlalchemy as sa

    parsed = sa.make_url(url)
    hosts = parsed.query.get("host", parsed.host or "/")
    return all(
        host.startswith("/") or host in THIS_MACHINE
        for host in ((hosts,) if isinstance(hosts, str) else hosts)
    )
