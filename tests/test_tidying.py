"""What is kept for a time is removed when the time is over, and nothing else is."""

from __future__ import annotations

from uuid import UUID

import psycopg

from scenebook.settings import Settings
from scenebook.storage import Storage
from scenebook.uploads import parts_prefix
from tests.pipelines import stored_files
from worker.tidying import Tidying


def add_keys(connection: psycopg.Connection, owner: UUID) -> None:
    for name, age, locked in (
        ("fresh", "1 hour", "-1 hour"), ("over", "2 days", "-2 days"), ("busy", "2 days", "1 hour"),
    ):  # fmt: skip
        connection.execute(
            "insert into public.idempotency_keys (owner_id, key, request_hash, status, response,"
            " locked_until, created_at) values (%s, %s, 'hash', 200, '{}', now() + %s::interval,"
            " now() - %s::interval)",
            (owner, name, locked, age),
        )


def add_searches(connection: psycopg.Connection, owner: UUID) -> None:
    connection.execute(
        "insert into public.searches (owner_id, took_ms, hits, created_at)"
        " select %s, 1, day, now() - make_interval(days => day)"
        " from unnest(array[1, 29, 31]) as day",
        (owner,),
    )


def add_deliveries(connection: psycopg.Connection, owner: UUID) -> None:
    endpoint = connection.execute(
        "insert into public.webhook_endpoints (owner_id, url, secret, events)"
        " values (%s, 'https://example.org', 'whsec_', array['video.ready']) returning id",
        (owner,),
    ).fetchone()
    assert endpoint is not None
    for event, state, day in (
        ("waiting", "pending", 0), ("put aside", "pending", 31),
        ("recent", "delivered", 29), ("old", "failed", 31),
    ):  # fmt: skip
        connection.execute(
            "insert into public.webhook_deliveries (owner_id, endpoint_id, event, payload, state,"
            " next_at, finished_at) select %(owner)s, %(endpoint)s, %(event)s, '{}', %(state)s, at,"
            " case when %(state)s <> 'pending' then at end"
            " from (select now() - make_interval(days => %(day)s) as at) as time",
            {"owner": owner, "endpoint": endpoint[0], "event": event, "state": state, "day": day},
        )


def left(connection: psycopg.Connection, owner: UUID, table: str, column: str) -> set[object]:
    rows = connection.execute(
        f"select {column} from public.{table} where owner_id = %s", (owner,)
    ).fetchall()
    return {row[0] for row in rows}


def test_what_is_over_goes_and_the_rest_stays(
    database_url: str, tidying: Tidying, alice: UUID, bob: UUID
) -> None:
    with psycopg.connect(database_url) as connection:
        for owner in (alice, bob):
            add_keys(connection, owner)
            add_searches(connection, owner)
            add_deliveries(connection, owner)
    removed = tidying.round()
    assert removed == {
        "idempotency_keys": 2,
        "searches": 2,
        "webhook_deliveries": 4,
        "uploads": 0,
        "abandoned_videos": 0,
        "older_files": 0,
    }
    assert not any(tidying.round().values())
    with psycopg.connect(database_url) as connection:
        for owner in (alice, bob):
            assert left(connection, owner, "idempotency_keys", "key") == {"fresh", "busy"}
            assert left(connection, owner, "searches", "hits") == {1, 29}
            assert left(connection, owner, "webhook_deliveries", "event") == {"waiting", "recent"}


def test_an_upload_that_nobody_went_on_with_leaves_no_row_and_no_part(
    database_url: str, settings: Settings, tidying: Tidying, alice: UUID, bob: UUID
) -> None:
    storage = Storage(settings.storage)
    kept: dict[UUID, UUID] = {}
    with psycopg.connect(database_url) as connection:
        for owner in (alice, bob):
            for ends in ("1 hour", "-3 days"):
                row = connection.execute(
                    "insert into public.uploads (owner_id, bytes, received, expires_at)"
                    " values (%s, 10, 4, now() + %s::interval) returning id",
                    (owner, ends),
                ).fetchone()
                assert row is not None
                prefix = parts_prefix(owner_id=owner, upload_id=row[0])
                storage.put(f"{prefix}/{0:015d}.{1:010d}", b"part")
                kept |= {owner: row[0]} if ends == "1 hour" else {}
    assert tidying.round()["uploads"] == 2
    with psycopg.connect(database_url) as connection:
        for owner, upload in kept.items():
            assert left(connection, owner, "uploads", "id") == {upload}
    assert sorted(path.parent.name for path in stored_files(settings)) == sorted(
        str(one) for one in kept.values()
    )


def test_more_than_one_transaction_takes_is_removed_all_the_same(
    database_url: str, tidying: Tidying, alice: UUID
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "insert into public.searches (owner_id, took_ms, hits, created_at)"
            " select %s, 1, 0, now() - interval '40 days' from generate_series(1, 2001)",
            (alice,),
        )
    assert tidying.round()["searches"] == 2001
