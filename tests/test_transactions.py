"""What a transaction of the API says to Postgres: who, under which role, and for how long."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import text

from scenebook.db.engine import POOL_TIMEOUT_S, STATEMENT_TIMEOUT_S, Database, Role
from scenebook.errors import OutOfReach, Unavailable

WHO = text(
    "select current_user as role, auth.uid() as owner,"
    " current_setting('request.jwt.claims', true) as claims"
)


@pytest.fixture
def single(database_url: str) -> Iterator[Database]:
    """A pool of one connection, which every transaction shares."""
    made = Database(database_url, role=Role.API, pool_size=1)
    yield made
    made.close()


def test_an_owners_own_role_and_claims_end_with_the_transaction(
    single: Database, alice: UUID, bob: UUID
) -> None:
    for _ in range(3):
        own = single.transaction(
            owner_id=alice, role="authenticated", claims={"email": "a@example.com", "sub": str(bob)}
        )
        with own as tx:
            row = tx.execute(WHO).one()
            # The owner is the one that was named, whatever the claims say.
            assert (row.role, row.owner) == ("authenticated", alice)
            assert "a@example.com" in row.claims
        with single.transaction(owner_id=bob) as tx:
            row = tx.execute(WHO).one()
            assert (row.role, row.owner) == ("scenebook_api", bob)
            assert "a@example.com" not in row.claims
        with single.across_owners() as tx:
            row = tx.execute(WHO).one()
            assert (row.role, row.owner) == ("scenebook_api", None)


def test_the_role_ends_also_when_the_transaction_breaks(single: Database, alice: UUID) -> None:
    with (
        pytest.raises(RuntimeError),
        single.transaction(owner_id=alice, role="authenticated"),
    ):
        raise RuntimeError
    with single.across_owners() as tx:
        assert tx.execute(WHO).one().role == "scenebook_api"


def test_when_every_connection_is_in_use_the_answer_comes_soon(
    single: Database, alice: UUID
) -> None:
    assert POOL_TIMEOUT_S[Role.API] == 1
    began = time.monotonic()
    with (
        single.transaction(owner_id=alice),
        pytest.raises(Unavailable, match="in use"),
        single.transaction(owner_id=alice),
    ):
        pass
    assert time.monotonic() - began < POOL_TIMEOUT_S[Role.WORKER]


def test_a_statement_that_takes_too_long_is_ended_and_says_so(
    single: Database, alice: UUID
) -> None:
    with single.transaction(owner_id=alice) as tx:
        limit = tx.execute(text("show statement_timeout")).scalar_one()
    assert limit == f"{STATEMENT_TIMEOUT_S[Role.API]}s"

    def linger() -> None:
        with single.transaction(owner_id=alice) as tx:
            tx.execute(text("set local statement_timeout = '50ms'"))
            tx.execute(text("select pg_sleep(10)"))

    with pytest.raises(Unavailable, match="took longer") as ended:
        linger()
    assert not isinstance(ended.value, OutOfReach)
    with single.transaction(owner_id=alice) as tx:
        assert tx.execute(WHO).one().owner == alice
