-- What the tables stand on: versions, pgvector, the roles and auth.uid() that Supabase brings along.
-- Where Supabase has made a thing, it is left exactly as it is.

do $$
declare
    found_version text;
    found_schema text;
begin
    if current_setting('server_version_num')::integer < 150000 then
        raise exception using
            errcode = 'feature_not_supported',
            message = format('Postgres %s is too old', current_setting('server_version')),
            hint = 'Scenebook needs Postgres 15 or newer.';
    end if;
    if not exists (select from pg_catalog.pg_available_extensions as a where a.name = 'vector') then
        raise exception using
            errcode = 'feature_not_supported',
            message = 'the extension pgvector is not installed on this Postgres server',
            hint = 'Install pgvector 0.8 or newer: the package postgresql-NN-pgvector, an image '
                'such as pgvector/pgvector, or your host''s list of extensions; then migrate again.';
    end if;
    create extension if not exists vector with schema public;
    select e.extversion, e.extnamespace::regnamespace::text into found_version, found_schema
    from pg_catalog.pg_extension as e
    where e.extname = 'vector';
    if string_to_array(regexp_replace(found_version, '[^0-9.].*$', ''), '.')::integer[] < array[0, 8] then
        raise exception using
            errcode = 'feature_not_supported',
            message = format('pgvector %s is too old', found_version),
            hint = 'Install pgvector 0.8 or newer, then run: alter extension vector update;';
    end if;
    if found_schema <> 'public' then
        raise exception using
            errcode = 'feature_not_supported',
            message = format('pgvector lies in the schema %s, Scenebook needs it in public', found_schema),
            hint = 'Run: alter extension vector set schema public; (columns that use it keep working).';
    end if;
end;
$$;

-- Roles belong to the cluster, so another database may be creating them at this very moment.
do $$
declare
    wanted text;
    may_take text := case
        when current_setting('server_version_num')::integer >= 160000 then 'set' else 'member' end;
begin
    foreach wanted in array array[
        'anon', 'authenticated', 'scenebook_api', 'scenebook_worker', 'scenebook_relay']
    loop
        if to_regrole(wanted) is null then
            begin
                execute format('create role %I nologin nosuperuser nobypassrls', wanted);
            exception when duplicate_object or unique_violation then
                null;
            end;
        end if;
    end loop;
    if to_regrole('service_role') is null then
        begin
            create role service_role nologin nosuperuser bypassrls;
        exception
            when duplicate_object or unique_violation then
                null;
            when insufficient_privilege then
                -- Some hosts let nobody bypass row security; then this role sees no rows.
                create role service_role nologin nosuperuser;
        end;
    end if;
    foreach wanted in array array['scenebook_api', 'scenebook_worker', 'scenebook_relay']
    loop
        if exists (select from pg_catalog.pg_roles as r
                   where r.rolname = wanted and (r.rolsuper or r.rolbypassrls)) then
            raise exception using
                errcode = 'invalid_role_specification',
                message = format('the role %s exists and bypasses row security', wanted),
                hint = format('Run as a superuser: alter role %I nosuperuser nobypassrls;', wanted);
        end if;
        -- `set role` at checkout needs it; a superuser may always.
        if not pg_has_role(current_user, wanted, may_take) then
            begin
                execute format('grant %I to %I', wanted, current_user);
            exception
                when unique_violation then
                    null;
                when insufficient_privilege then
                    raise exception using
                        errcode = 'insufficient_privilege',
                        message = format('%s may not take the role %s', current_user, wanted),
                        hint = format('Run as a superuser: grant %I to %I;', wanted, current_user);
            end;
        end if;
    end loop;
end;
$$;

do $$
begin
    if to_regnamespace('auth') is null then
        create schema auth;
        comment on schema auth is 'Made by Scenebook in place of Supabase''s.';
    end if;
    if to_regprocedure('auth.uid()') is null then
        create function auth.uid() returns uuid
        language sql stable security invoker
        set search_path = ''
        as $body$
            select coalesce(
                nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', ''),
                nullif(current_setting('request.jwt.claim.sub', true), '')
            )::uuid
        $body$;
        comment on function auth.uid() is
            'Made by Scenebook in place of Supabase''s: the owner that this transaction works for.';
        grant usage on schema auth to
            anon, authenticated, service_role, scenebook_api, scenebook_worker, scenebook_relay;
    end if;
end;
$$;
