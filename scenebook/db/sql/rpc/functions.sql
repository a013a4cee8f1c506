-- Scenebook's public functions: in public, returning rows, and granted by name to the owners' role
-- and to the API's. What a platform or an extension put there has other grants and stays unknown.
select
    p.proname as name,
    p.provolatile <> 'v' as read_only,
    (
        select coalesce(pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
            'name', a.name,
            'type', pg_catalog.format_type(a.type, null),
            'is_argument', a.mode in ('i', 'b', 'v'),
            'is_column', a.mode in ('o', 'b', 't'),
            'required', a.position <= p.pronargs - p.pronargdefaults
        ) order by a.position), '[]')
        from rows from (
            pg_catalog.unnest(p.proargnames),
            pg_catalog.unnest(p.proargmodes),
            pg_catalog.unnest(p.proallargtypes)
        ) with ordinality as a (name, mode, type, position)
    ) as fields
from pg_catalog.pg_proc as p
where p.pronamespace = 'public'::pg_catalog.regnamespace
  and p.prokind = 'f'
  and p.proretset
  and 't' = any (p.proargmodes)
  and (
      select pg_catalog.count(distinct g.grantee)
      from pg_catalog.aclexplode(p.proacl) as g
      where g.privilege_type = 'EXECUTE'
        and g.grantee in (
            'authenticated'::pg_catalog.regrole, 'scenebook_api'::pg_catalog.regrole)
  ) = 2
order by p.proname
