-- The languages of one owner's scenes with their text search configurations. One that is null, or
-- that the server does not know, is matched as simple, as fill_search_text stores it.
create or replace function scenebook.languages_of(filter_user_id uuid)
returns table (language text, configuration regconfig)
language sql stable security invoker parallel safe rows 3
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
    with recursive spoken (language) as (   -- one step of the index a language, not one a scene
        (
            select s.language
            from public.scenes as s
            where s.owner_id = filter_user_id
              and s.language is not null
            order by s.language
            limit 1
        )
        union all
        select (
            select s.language
            from public.scenes as s
            where s.owner_id = filter_user_id
              and s.language > k.language
            order by s.language
            limit 1
        )
        from spoken as k
        where k.language is not null
    )
    select k.language, coalesce(c.oid::regconfig, 'pg_catalog.simple'::regconfig)
    from spoken as k
    left join pg_catalog.pg_ts_config as c
        on c.cfgname = k.language and c.cfgnamespace = 'pg_catalog'::regnamespace
    where k.language is not null
    union all
    select null, 'pg_catalog.simple'::regconfig
    where exists (
        select from public.scenes as s
        where s.owner_id = filter_user_id
          and s.language is null
    )
$$;
comment on function scenebook.languages_of is
    'The languages of one owner''s scenes with their text search configurations.';
revoke all on function scenebook.languages_of from public, anon;
grant execute on function scenebook.languages_of
    to authenticated, service_role, scenebook_api, scenebook_worker;
