-- How the role of this connection could see past row security. No row: it cannot.
with me as (
    select oid, rolname, rolsuper, rolbypassrls, rolcreaterole
    from pg_catalog.pg_roles
    where rolname = current_user
),
ours as (
    select c.relowner as owner, pg_catalog.format('%I.%I', n.nspname, c.relname) as name
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname in ('public', 'scenebook', 'auth') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    union all
    select p.proowner, pg_catalog.format('%I.%I', n.nspname, p.proname)
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    where n.nspname in ('public', 'scenebook', 'auth')
)
select 'superuser' as danger, me.rolname as thing from me where me.rolsuper
union all
select 'bypassrls', me.rolname from me where me.rolbypassrls
union all
select 'createrole', me.rolname from me where me.rolcreaterole
union all
(select 'owner', ours.name from me join ours on ours.owner = me.oid order by ours.name limit 1)
union all
-- Whoever may become another role has what that role has; of ours each has something more.
select 'member', r.rolname
from me
join pg_catalog.pg_roles as r
    on r.oid <> me.oid and pg_catalog.pg_has_role(me.oid, r.oid, 'member')
where not me.rolsuper
  and (r.rolsuper or r.rolbypassrls or r.rolcreaterole
       or r.rolname in (
           'pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files',
           'scenebook_api', 'scenebook_worker', 'scenebook_relay', 'scenebook_operator')
       or exists (select from ours where ours.owner = r.oid))
union all
-- A table that somebody else keeps beside ours, and that our roles may not touch, is no matter.
select 'open table', pg_catalog.format('public.%I', c.relname)
from pg_catalog.pg_class as c
where c.relnamespace = 'public'::pg_catalog.regnamespace
  and c.relkind in ('r', 'p')
  and not (c.relrowsecurity and c.relforcerowsecurity)
  and exists (
      select from pg_catalog.pg_roles as r
      where r.rolname in (
              'scenebook_api', 'scenebook_worker', 'scenebook_relay', 'scenebook_operator')
        and pg_catalog.has_table_privilege(r.oid, c.oid, 'select, insert, update, delete'))
