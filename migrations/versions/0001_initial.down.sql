-- Drops what the initial revision made. What stays: the extension, which other schemas may use, and
-- the roles, which belong to the cluster and so perhaps to another database too.

do $$
declare
    made regprocedure;
begin
    for made in
        select p.oid::regprocedure
        from scenebook.sql_functions as f
        join pg_catalog.pg_proc as p on p.proname = f.name
        where p.pronamespace in ('public'::regnamespace, 'scenebook'::regnamespace)
    loop
        execute format('drop function %s', made);
    end loop;
    delete from scenebook.sql_functions;
end;
$$;

drop view public.scene_sidecars;
drop table public.paid_calls;
drop table public.workers;
drop table public.jobs;
drop sequence public.lease_tokens;
drop table public.scene_embeddings;
drop table public.scene_channels;
drop table public.embedding_spaces;
drop table public.keyframes;
drop table public.utterances;
drop table public.scenes;
drop table public.videos;
drop table public.owners;

-- Grants on what stays.
revoke usage on schema public from scenebook_api, scenebook_worker, scenebook_relay;
revoke usage on schema scenebook from
    authenticated, service_role, scenebook_api, scenebook_worker;

-- Supabase's own auth schema carries another comment and is left alone.
do $$
begin
    if pg_catalog.obj_description(to_regprocedure('auth.uid()'), 'pg_proc') like 'Made by Scenebook%' then
        drop function auth.uid();
    end if;
    if pg_catalog.obj_description(to_regnamespace('auth'), 'pg_namespace') like 'Made by Scenebook%' then
        drop schema auth;
    end if;
end;
$$;
