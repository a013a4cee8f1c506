-- About how many vectors an owner's own index holds in a space; null if there is none to be used.
create or replace function scenebook.own_index_rows(space integer, filter_user_id uuid)
returns double precision
language plpgsql stable security invoker parallel safe
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
declare
    -- By its name, as scenebook.owner_indexes gives it.
    own_index constant regclass := pg_catalog.to_regclass(pg_catalog.format(
        'public.owner_hnsw_%s_%s', space, replace(filter_user_id::text, '-', '')));
begin
    if own_index is null then
        return null;
    end if;
    return (
        select greatest(c.reltuples, 1)
        from pg_catalog.pg_index as i
        join pg_catalog.pg_class as c on c.oid = i.indexrelid
        where i.indexrelid = own_index and i.indisvalid
    );
end;
$$;
comment on function scenebook.own_index_rows is
    'About how many vectors an owner''s own index holds in a space; null if there is none.';
revoke all on function scenebook.own_index_rows from public, anon;
grant execute on function scenebook.own_index_rows
    to authenticated, service_role, scenebook_api, scenebook_worker;
