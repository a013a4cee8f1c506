"""House rules about the schema, each a query of the catalog that must return no rows."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.postgres import Server

# Ours: what lies in public and scenebook and does not belong to the extension.
OUR_FUNCTIONS = """
    select p.* from pg_proc as p
    where p.pronamespace in ('public'::regnamespace, 'scenebook'::regnamespace)
      and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
"""
APP_ROLES = """
    (values ('anon'), ('authenticated'), ('scenebook_api'), ('scenebook_worker'),
            ('scenebook_relay'), ('scenebook_operator')) as role (name)
"""

RULES = {
    "row security is enabled and forced on every table": """
        select c.oid::regclass from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
          and not (c.relrowsecurity and c.relforcerowsecurity)
    """,
    "every table has a policy and a comment": """
        select c.oid::regclass from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
          and (obj_description(c.oid, 'pg_class') is null
               or (c.relkind = 'r' and not exists (
                   select from pg_policy as p where p.polrelid = c.oid)))
    """,
    "policies compute the owner once, and only listed ones let everything through": """
        select p.tablename, p.policyname, p.qual, p.with_check from pg_policies as p
        where not coalesce(p.qual, p.with_check)
                  ~ '^\\((owner_)?id = \\( SELECT auth\\.uid\\(\\) AS uid\\)\\)$'
          and (p.tablename, p.policyname, p.roles::text) not in (values
              ('owners', 'limits_of_all', '{scenebook_relay}'),
              ('embedding_spaces', 'spaces_of_all',
               '{authenticated,scenebook_api,scenebook_relay,scenebook_worker}'),
              ('embedding_spaces', 'new_spaces', '{scenebook_worker}'),
              ('embedding_spaces', 'changed_spaces', '{scenebook_worker}'),
              ('embedding_spaces', 'dropped_spaces', '{scenebook_worker}'),
              ('videos', 'arriving_of_all', '{scenebook_relay}'),
              ('jobs', 'jobs_of_all', '{scenebook_relay,scenebook_worker}'),
              ('workers', 'workers_of_all', '{scenebook_relay,scenebook_worker}'),
              ('api_keys', 'presented_key', '{scenebook_api}'),
              ('idempotency_keys', 'expired_of_all', '{scenebook_relay}'),
              ('uploads', 'expired_of_all', '{scenebook_relay}'),
              ('webhook_endpoints', 'endpoints_of_all', '{scenebook_relay}'),
              ('webhook_deliveries', 'deliveries_of_all', '{scenebook_relay}'),
              ('searches', 'searches_of_all', '{scenebook_relay}'))
          -- Operators read, and only the columns that they are granted.
          and (p.cmd, p.roles::text) <> ('SELECT', '{scenebook_operator}')
    """,
    "a policy checks what it writes as it checks what it reads": """
        select p.tablename, p.policyname from pg_policies as p
        where p.cmd in ('ALL', 'UPDATE') and p.with_check is distinct from p.qual
    """,
    "every policy is permissive and names its roles": """
        select p.tablename, p.policyname from pg_policies as p
        where p.permissive <> 'PERMISSIVE' or 'public' = any (p.roles) or 'anon' = any (p.roles)
    """,
    "views run with the rights of whoever reads them": """
        select c.oid::regclass from pg_class as c
        where c.relnamespace in ('public'::regnamespace, 'scenebook'::regnamespace)
          and c.relkind in ('v', 'm')
          and not coalesce(c.reloptions, '{}') && array['security_invoker=true']
    """,
    "functions keep the rules": f"""
        select p.oid::regprocedure, rule.problem
        from ({OUR_FUNCTIONS}) as p
        cross join lateral (values
            (obj_description(p.oid, 'pg_proc') is null, 'has no comment'),
            (not coalesce(p.proconfig, '{{}}') && array['search_path=""'],
             'does not pin search_path'),
            (not coalesce(p.proconfig, '{{}}') && array['plan_cache_mode=force_custom_plan'],
             'may run under a cached generic plan'),
            (p.prosecdef, 'is security definer'),
            -- A trigger takes no arguments and has only the row that is being written.
            (p.prorettype <> 'trigger'::regtype and p.provolatile <> 's', 'is not stable'),
            (p.prorettype <> 'trigger'::regtype
                 and not 'filter_user_id' = any (coalesce(p.proargnames, '{{}}')),
             'does not take the owner'),
            (has_function_privilege('anon', p.oid, 'execute'), 'can be called by anyone'),
            (exists (select from unnest(p.proallargtypes, p.proargmodes) as a (type, mode)
                     where a.mode = 't'
                       and a.type in ('public.vector'::regtype, 'public.halfvec'::regtype)),
             'returns a vector'),
            (exists (select from pg_proc as q where q.pronamespace = p.pronamespace
                     and q.proname = p.proname and q.oid <> p.oid), 'has an overload')
        ) as rule (broken, problem)
        where rule.broken
    """,
    "every function is known by its file": f"""
        select p.oid::regprocedure from ({OUR_FUNCTIONS}) as p
        where not exists (select from scenebook.sql_functions as f where f.name = p.proname)
        union all
        select f.name::regproc from scenebook.sql_functions as f
        where not exists (select from ({OUR_FUNCTIONS}) as p where p.proname = f.name)
    """,
    "no function anywhere of ours is security definer": """
        select p.oid::regprocedure from pg_proc as p
        where p.pronamespace in (
                'public'::regnamespace, 'scenebook'::regnamespace, 'auth'::regnamespace)
          and p.prosecdef
    """,
    "our roles are plain and own nothing": """
        select r.rolname from pg_roles as r
        where r.rolname in ('anon', 'authenticated')
              and (r.rolsuper or r.rolbypassrls or r.rolcanlogin)
           or r.rolname like 'scenebook%'
              and (r.rolsuper or r.rolbypassrls or r.rolcanlogin or r.rolcreaterole
                   or r.rolcreatedb
                   or exists (select from pg_shdepend as d
                              where d.refobjid = r.oid and d.deptype = 'o'))
    """,
    "our roles are members of no other role": """
        select m.member::regrole, m.roleid::regrole from pg_auth_members as m
        where m.member::regrole::text in (
            'anon', 'authenticated', 'scenebook_api', 'scenebook_worker', 'scenebook_relay',
            'scenebook_operator')
    """,
    "anon may touch nothing": """
        select c.oid::regclass from pg_class as c
        where c.relnamespace in ('public'::regnamespace, 'scenebook'::regnamespace)
          and c.relkind in ('r', 'v')
          and (has_table_privilege('anon', c.oid, 'select, insert, update, delete, truncate')
               or has_any_column_privilege('anon', c.oid, 'select, insert, update'))
    """,
    "operators read, and no column that holds content": """
        select c.oid::regclass, a.attname from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace in ('public'::regnamespace, 'scenebook'::regnamespace)
          and c.relkind in ('r', 'v')
          and (has_column_privilege('scenebook_operator', c.oid, a.attnum, 'insert, update')
               or has_table_privilege('scenebook_operator', c.oid, 'delete, truncate')
               or has_column_privilege('scenebook_operator', c.oid, a.attnum, 'select')
                  and c.relname not in ('jobs', 'workers', 'searches', 'embedding_spaces')
                  and a.attname not in (
                      'id', 'owner_id', 'video_id', 'scene_id', 'space_id', 'generation', 'ordinal',
                      'channel', 'status', 'max_running', 'disabled_at'))
    """,
    "nobody may truncate, refer to, or trigger on our tables": f"""
        select role.name, c.oid::regclass from pg_class as c cross join {APP_ROLES}
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
          and has_table_privilege(role.name, c.oid, 'truncate, references, trigger')
    """,
    "the bookkeeping of migrations is closed to all": f"""
        select role.name, c.oid::regclass from pg_class as c cross join {APP_ROLES}
        where c.relnamespace = 'scenebook'::regnamespace and c.relkind in ('r', 'v')
          and has_table_privilege(role.name, c.oid, 'select, insert, update, delete, truncate')
    """,
    "nobody may create things in our schemas": f"""
        select role.name, s.name from {APP_ROLES}
        cross join (values ('public'), ('scenebook'), ('auth')) as s (name)
        where has_schema_privilege(role.name, s.name, 'create')
    """,
    "a tenant's rows name their owner, and no null slips past a policy": """
        select c.oid::regclass from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
          and c.relname not in ('owners', 'embedding_spaces', 'workers')
          and not exists (select from pg_attribute as a
                          where a.attrelid = c.oid and a.attname = 'owner_id' and a.attnotnull
                            and a.atttypid = 'uuid'::regtype)
    """,
    "a reference between tenants' rows carries the owner": """
        select k.conrelid::regclass, k.conname from pg_constraint as k
        where k.contype = 'f' and k.connamespace = 'public'::regnamespace
          and k.confrelid not in ('public.owners'::regclass, 'public.embedding_spaces'::regclass)
          and not exists (select from pg_attribute as a
                          where a.attrelid = k.conrelid and a.attnum = any (k.conkey)
                            and a.attname = 'owner_id')
    """,
    "deleting a row finds what refers to it by an index": """
        select k.conrelid::regclass, k.conname from pg_constraint as k
        where k.contype = 'f' and k.connamespace = 'public'::regnamespace
          and k.confrelid <> 'public.embedding_spaces'::regclass
          and not exists (
              select from pg_index as i
              join pg_attribute as a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
              where i.indrelid = k.conrelid and i.indpred is null
                -- The owner alone would not narrow it down.
                and (a.attnum = any (k.conkey) and a.attname <> 'owner_id'
                     or (i.indkey::smallint[])[0:array_length(k.conkey, 1) - 1] @> k.conkey))
    """,
    "vectors lie inline": """
        select a.attrelid::regclass, a.attname from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
          and a.atttypid in ('public.vector'::regtype, 'public.halfvec'::regtype)
          and a.attstorage <> 'p'
    """,
    "no index is invalid": """
        select i.indexrelid::regclass from pg_index as i where not (i.indisvalid and i.indisready)
    """,
    "no two indexes of a table have the same columns": """
        select i.indexrelid::regclass, j.indexrelid::regclass from pg_index as i
        join pg_index as j on j.indrelid = i.indrelid and i.indexrelid < j.indexrelid
        join pg_class as c on c.oid = i.indrelid and c.relnamespace = 'public'::regnamespace
        where i.indkey::text = j.indkey::text and i.indpred is null and j.indpred is null
    """,
    "policies ask who the owner is once a statement": """
        select p.tablename, p.policyname from pg_policies as p
        where regexp_count(
                concat(p.qual, p.with_check), '(auth\\.(uid|jwt|role)|current_setting)\\(')
            > regexp_count(
                concat(p.qual, p.with_check), 'SELECT (auth\\.(uid|jwt|role)|current_setting)\\(')
    """,
    "no two policies of a table do the same for a role": """
        select p.tablename, p.policyname, q.policyname from pg_policies as p
        join pg_policies as q on q.tablename = p.tablename and q.policyname > p.policyname
        where p.roles && q.roles and p.cmd = q.cmd
          and p.qual is not distinct from q.qual and p.with_check is not distinct from q.with_check
    """,
    "no policy is on a table whose row security is off": """
        select p.polrelid::regclass, p.polname from pg_policy as p
        join pg_class as c on c.oid = p.polrelid where not c.relrowsecurity
    """,
    "no view, materialized view or foreign table shows what row security hides": """
        select c.oid::regclass from pg_class as c
        where c.relnamespace in ('public'::regnamespace, 'scenebook'::regnamespace)
          and c.relkind in ('m', 'f')
    """,
    "functions are granted to nobody by default, and none is called by who is not signed in": f"""
        select p.oid::regprocedure from ({OUR_FUNCTIONS}) as p
        where exists (
            select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
            where g.grantee = 0 or g.grantee::regrole::text = 'anon')
    """,
    "nothing of ours is granted to everybody": """
        select c.oid::regclass from pg_class as c
        cross join aclexplode(c.relacl) as g
        where c.relnamespace in ('public'::regnamespace, 'scenebook'::regnamespace)
          and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and g.grantee = 0
    """,
    "what runs in parallel changes nothing": f"""
        select p.oid::regprocedure from ({OUR_FUNCTIONS}) as p
        where p.proparallel = 's' and (p.provolatile = 'v' or p.prosrc ~ 'set_config')
    """,
    "only vector lies in public beside ours": """
        select e.extname from pg_extension as e
        where e.extnamespace = 'public'::regnamespace and e.extname <> 'vector'
    """,
    "no extension but vector is needed": """
        select e.extname from pg_extension as e where e.extname not in ('plpgsql', 'vector')
    """,
}


@pytest.fixture(scope="module")
def database_url(postgres_server: Server) -> Iterator[str]:
    """One database for all rules, which only read."""
    with postgres_server.database() as url:
        yield url


@pytest.mark.parametrize("rule", RULES)
def test_the_schema_keeps_the_rule(database_url: str, rule: str) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute(RULES[rule]).fetchall() == []
