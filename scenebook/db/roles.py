"""Whether row security holds the role that a process works under, and the login behind it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import sqlalchemy as sa

from scenebook.errors import ConfigurationError

# What is wrong, and the statement that mends it; run by whoever may.
DANGERS: Mapping[str, tuple[str, str]] = {
    "superuser": ("it is a superuser", "alter role {role} nosuperuser"),
    "bypassrls": ("it has BYPASSRLS", "alter role {role} nobypassrls"),
    "createrole": ("it may create roles", "alter role {role} nocreaterole"),
    "owner": ("it owns {thing}", "reassign owned by {role} to <the login that migrates>"),
    "member": ("it may become {thing}", "revoke {thing} from {role}"),
    "open table": (
        "{thing} has no forced row security",
        "alter table {thing} enable row level security, force row level security",
    ),
}
# A role is only taken: whoever could run SQL of their own would be the URL's login again.
LOGIN = sa.text(
    "select rolsuper, rolbypassrls from pg_catalog.pg_roles where rolname = session_user"
)


@cache
def _query() -> str:
    return (resources.files("scenebook.db") / "sql/roles/dangers.sql").read_text("utf-8")


def refuse_unsafe(connection: Any, role: str) -> None:
    """Raises ConfigurationError if the role that a driver's connection has taken is not plain."""
    found = connection.execute(_query()).fetchone()
    if found is None:
        return
    danger, thing = found
    wrong, remedy = (one.format(role=role, thing=thing) for one in DANGERS[danger])
    raise ConfigurationError(
        f"Refused to work as {role}, for {wrong}: row security would not keep owners apart. "
        f"As a superuser of the database, run: {remedy};"
    )


def login_is_unbound(connection: sa.Connection) -> bool:
    """Whether row security does not hold the URL's own login, as with Railway's and Supabase's."""
    row = connection.execute(LOGIN).one()
    return bool(row.rolsuper or row.rolbypassrls)
