"""Each house rule about the schema can fail: it names whoever breaks it."""

from __future__ import annotations

import psycopg
import pytest

from tests.test_schema_rules import RULES, database_url

__all__ = ["database_url"]

FUNCTION = (
    "create function public.loose(filter_user_id uuid) returns integer language sql stable"
    " {options} as 'select 1'"
)
STRICT = "set search_path = '' set plan_cache_mode = 'force_custom_plan'"
NOTES = "create table public.notes (id integer, owner_id uuid not null);"
SAFE_NOTES = f"{NOTES} alter table public.notes enable row level security;"

# What breaks a rule, and a word of what the rule then names.
VIOLATIONS: dict[str, list[tuple[str, str]]] = {
    "row security is enabled and forced on every table": [
        (NOTES, "notes"),
        ("alter table public.jobs no force row level security", "jobs"),
    ],
    "every table has a policy and a comment": [
        (SAFE_NOTES, "notes"),
        ("comment on table public.jobs is null", "jobs"),
    ],
    "policies compute the owner once, and only listed ones let everything through": [
        ("create policy open on public.videos for select to scenebook_api using (true)", "open"),
        (
            "create policy slow on public.videos for select to scenebook_api"
            " using (owner_id = auth.uid())", "slow",
        ),
    ],
    "a policy checks what it writes as it checks what it reads": [
        (
            "create policy move on public.videos for update to scenebook_api"
            " using (owner_id = (select auth.uid())) with check (true)", "move",
        )
    ],
    "every policy is permissive and names its roles": [
        ("create policy everybody on public.videos for select using (false)", "everybody")
    ],
    "views run with the rights of whoever reads them": [
        ("create view public.peek as select * from public.videos", "peek"),
        ("alter view public.scene_sidecars reset (security_invoker)", "scene_sidecars"),
    ],
    "functions keep the rules": [
        (FUNCTION.format(options=""), "does not pin search_path"),
        (FUNCTION.format(options=f"{STRICT} security definer"), "is security definer"),
        (FUNCTION.format(options=STRICT), "can be called by anyone"),
        (FUNCTION.format(options=STRICT).replace("stable", "volatile"), "is not stable"),
        (FUNCTION.format(options=STRICT).replace("filter_user_id ", ""), "not take the owner"),
    ],
    "every function is known by its file": [(FUNCTION.format(options=STRICT), "loose")],
    "no function anywhere of ours is security definer": [
        ("alter function auth.uid() security definer", "uid"),
    ],
    "our roles are plain and own nothing": [
        ("alter role scenebook_api bypassrls", "scenebook_api"),
        ("alter table public.jobs owner to scenebook_worker", "scenebook_worker"),
    ],
    "our roles are members of no other role": [
        ("grant service_role to scenebook_relay", "scenebook_relay")
    ],
    "anon may touch nothing": [("grant select on public.videos to anon", "videos")],
    "operators read, and no column that holds content": [
        ("grant select (title) on public.videos to scenebook_operator", "title"),
        ("grant update (state) on public.jobs to scenebook_operator", "state"),
    ],
    "nobody may truncate, refer to, or trigger on our tables": [
        ("grant truncate on public.videos to scenebook_api", "videos")
    ],
    "the bookkeeping of migrations is closed to all": [
        ("grant select on scenebook.sql_functions to authenticated", "sql_functions")
    ],
    "nobody may create things in our schemas": [
        ("grant create on schema public to scenebook_worker", "scenebook_worker")
    ],
    "a tenant's rows name their owner, and no null slips past a policy": [
        (NOTES.replace(" not null", ""), "notes")
    ],
    "a reference between tenants' rows carries the owner": [
        (f"{NOTES} alter table public.notes add scene uuid references public.scenes (id)", "notes")
    ],
    "deleting a row finds what refers to it by an index": [
        (f"{NOTES} alter table public.notes add scene uuid references public.scenes (id)", "notes")
    ],
    "vectors lie inline": [
        ("alter table public.scene_embeddings alter embedding set storage external", "embedding")
    ],
    "no index is invalid": [
        (
            "update pg_index set indisvalid = false"
            " where indexrelid = 'public.jobs_due_idx'::regclass", "jobs_due_idx",
        )
    ],
    "no two indexes of a table have the same columns": [
        (
            "create index one on public.searches (hits);"
            " create index two on public.searches (hits)",
            "two",
        )
    ],
    "policies ask who the owner is once a statement": [
        (
            "create policy slow on public.videos for select to scenebook_api"
            " using (owner_id = auth.uid())", "slow",
        )
    ],
    "no two policies of a table do the same for a role": [
        (
            "create policy twice on public.videos for select to scenebook_api"
            " using (id = (select auth.uid()));"
            " create policy again on public.videos for select to scenebook_api"
            " using (id = (select auth.uid()))", "twice",
        )
    ],
    "no policy is on a table whose row security is off": [
        ("alter table public.owners disable row level security", "owners")
    ],
    "no view, materialized view or foreign table shows what row security hides": [
        ("create materialized view public.kept as select * from public.videos", "kept")
    ],
    "functions are granted to nobody by default, and none is called by who is not signed in": [
        (FUNCTION.format(options=STRICT), "loose"),
        ("grant execute on function public.highlight_scenes to anon", "highlight_scenes"),
    ],
    "nothing of ours is granted to everybody": [
        ("grant select on public.embedding_spaces to public", "embedding_spaces")
    ],
    "what runs in parallel changes nothing": [
        (FUNCTION.format(options=f"{STRICT} parallel safe").replace("stable", "volatile"), "loose")
    ],
    "only vector lies in public beside ours": [
        (
            "update pg_extension set extnamespace = 'public'::regnamespace"
            " where extname = 'plpgsql'",
            "plpgsql",
        )
    ],
    "no extension but vector is needed": [
        ("update pg_extension set extname = 'other' where extname = 'vector'", "other")
    ],
}  # fmt: skip


def test_every_rule_is_seen_to_fail() -> None:
    assert set(VIOLATIONS) == set(RULES)


@pytest.mark.parametrize(
    ("rule", "statement", "named"),
    [(rule, *one) for rule, them in VIOLATIONS.items() for one in them],
)
def test_whoever_breaks_a_rule_is_named(
    database_url: str,
    rule: str,
    statement: str,
    named: str,
) -> None:
    with (
        psycopg.connect(database_url) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(statement.encode())
        assert named in str(connection.execute(RULES[rule].encode()).fetchall())
