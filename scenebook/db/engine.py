"""Database: a pool that works under one plain role, and transactions that name their owner."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa
from psycopg.errors import (
    DeadlockDetected,
    InsufficientPrivilege,
    LockNotAvailable,
    QueryCanceled,
)
from sqlalchemy import Connection, TextClause, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    InterfaceError,
    InternalError,
    OperationalError,
    TimeoutError,
)

from scenebook.db.roles import refuse_unsafe
from scenebook.errors import ConfigurationError, OutOfReach, Unavailable

# Errors of the moment, not of the statement: a lost connection, a server that shuts down or is
# read-only after a failover, a lock or a pooled connection that did not come in time.
OfTheMoment = (OperationalError, InterfaceError, InternalError, TimeoutError)


class Role(StrEnum):
    """The plain Postgres roles that Scenebook works under; none of them bypasses row security."""

    API = "scenebook_api"
    WORKER = "scenebook_worker"
    RELAY = "scenebook_relay"
    OPERATOR = "scenebook_operator"  # reads the work of all owners, and nobody's content


# The role that Supabase gives to whoever is signed in.
OwnRole = Literal["authenticated"]

# Limits of the program that one statement's values go beyond, as a text too long to be indexed.
TOO_MUCH = frozenset({"54000", "54001", "54011", "54023"})
# The code of the error where a statement was ended.
TOOK_TOO_LONG = "took_too_long"
# The code of the error where the URL's login may not take a role.
ROLE_NOT_GRANTED = "role_not_granted"
STATEMENT_TIMEOUT_S = {Role.API: 10, Role.WORKER: 60, Role.RELAY: 15, Role.OPERATOR: 15}
# Somebody waits for the API's answer, and can come again; a worker can wait.
POOL_TIMEOUT_S = {Role.API: 1, Role.WORKER: 15, Role.RELAY: 15, Role.OPERATOR: 5}


def psycopg_url(url: str) -> sa.URL:
    """The URL with the psycopg driver, whatever flavour of `postgres://` it came in.

    Raises ConfigurationError, which does not repeat the URL: it may hold a password.
    """
    try:
        parsed = make_url(url.replace("postgres://", "postgresql://", 1))
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() != "postgresql":
        raise ConfigurationError(
            "DATABASE_URL is not a Postgres URL. It looks like postgresql://user:password@host/name."
        )
    return parsed.set(drivername="postgresql+psycopg")


class Database:
    """Connections under one role. Make one in each process, after any fork."""

    def __init__(self, url: str, *, role: Role, pool_size: int = 4) -> None:
        self.role = role
        # Filtered vector search under a cached generic plan silently loses rows.
        options = (
            "-c plan_cache_mode=force_custom_plan -c lock_timeout=5s"
            f" -c statement_timeout={STATEMENT_TIMEOUT_S[role]}s"
            " -c idle_in_transaction_session_timeout=60s"
        )
        self.engine = sa.create_engine(
            psycopg_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_S[role],
            pool_pre_ping=True,
            pool_recycle=1800,
            connect_args={
                "connect_timeout": 3,
                "keepalives_idle": 30,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,
                "options": options,
                "application_name": role.value,
            },
        )
        event.listen(self.engine, "connect", self._take_role)
        self._of_one_moment = self.engine.execution_options(isolation_level="REPEATABLE READ")

    def _take_role(self, connection: Any, _record: Any) -> None:
        """Drop every privilege of the URL's user, which may be a superuser.

        Every transaction takes its role anew: behind a pooler it may be on another connection.
        """
        try:
            connection.execute(f"set role {self.role}")
            refuse_unsafe(connection, self.role)
        except InsufficientPrivilege:
            login = connection.info.user
            connection.close()
            raise ConfigurationError(
                f"The login {login} of DATABASE_URL may not work as {self.role}. "
                f"As a superuser of the database, run: grant {self.role} to {login};",
                code=ROLE_NOT_GRANTED,
            ) from None
        except ConfigurationError:
            connection.close()
            raise
        connection.commit()

    def check(self) -> None:
        """Raises ConfigurationError if row security would not hold the role, or it is not granted.

        Every new connection is looked at; this makes one. A server that is away, or that has no
        such role before it is migrated, is waited for elsewhere.
        """
        with suppress(sa.exc.DBAPIError, TimeoutError), self.engine.connect():
            pass

    @contextmanager
    def transaction(
        self,
        *,
        owner_id: UUID,
        role: OwnRole | None = None,
        claims: Mapping[str, Any] | None = None,
        one_moment: bool = False,
    ) -> Iterator[Connection]:
        """One transaction that sees and writes this owner's rows only.

        one_moment: for reading; all statements see the rows of one moment, while others write.

        It runs under the pool's role, or as the owner's own, `authenticated`; `claims` are what
        SQL reads of the owner's token besides its `sub` and `role`. Raises Unavailable if Postgres
        cannot be reached.
        """
        with self._begin(self._of_one_moment if one_moment else self.engine) as tx:
            become(tx, owner_id=owner_id, role=role or self.role, claims=claims)
            yield tx

    @contextmanager
    def across_owners(self) -> Iterator[Connection]:
        """One transaction on the to-do list; row security shows it no owner's content."""
        with self._begin(self.engine) as tx:
            tx.execute(text("select set_config('role', :role, true)"), {"role": self.role.value})
            yield tx

    @contextmanager
    def _begin(self, engine: sa.Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as tx:
                yield tx
        except OfTheMoment as error:
            cause = getattr(error, "orig", error)
            if isinstance(error, TimeoutError):
                raise OutOfReach(
                    "Every connection to Postgres is in use. Come again in a moment, or raise "
                    "API_THREADS or DATABASE_POOL_SIZE."
                ) from error
            if isinstance(cause, LockNotAvailable | DeadlockDetected):
                raise Unavailable(
                    "Another operation on the same video has not finished. Try again in a moment."
                ) from error
            if getattr(cause, "sqlstate", None) in TOO_MUCH:
                raise  # no outage: it would be too much the next time as well
            if str(getattr(cause, "sqlstate", None)).startswith("XX"):
                raise Unavailable(
                    "Postgres met an error of its own, as a damaged index or file. Its log says "
                    "more, and docs/operations.md what to do."
                ) from error
            if isinstance(cause, QueryCanceled):
                raise Unavailable(
                    f"Postgres took longer than the {STATEMENT_TIMEOUT_S[self.role]} s that a "
                    "statement may. Ask for less at once, or try again in a moment.",
                    code=TOOK_TOO_LONG,
                ) from error
            raise OutOfReach(
                f"Postgres did not answer ({type(cause).__name__}). Check DATABASE_URL and that "
                "the server runs; `scenebook doctor` says more."
            ) from error

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()


def become(
    tx: Connection,
    *,
    owner_id: UUID,
    role: str | None = None,
    claims: Mapping[str, Any] | None = None,
) -> None:
    """Make the rest of this transaction the owner's, and this role's; both end with it."""
    said = json.dumps({**(claims or {}), "sub": str(owner_id), "role": "authenticated"})
    if role is None:
        tx.execute(text("select set_config('request.jwt.claims', :claims, true)"), {"claims": said})
        return
    tx.execute(
        text(
            "select set_config('request.jwt.claims', :claims, true),"
            " set_config('role', :role, true)"
        ),
        {"claims": said, "role": str(role)},
    )


def check_role(url: str, role: Role) -> None:
    """`Database.check` with a connection of its own, before a process forks or serves."""
    db = Database(url, role=role, pool_size=1)
    try:
        db.check()
    finally:
        db.close()


@cache
def statement(name: str) -> TextClause:
    """The statement in `sql/<name>.sql`."""
    return text((resources.files("scenebook.db") / "sql" / f"{name}.sql").read_text("utf-8"))
