-- When the line of a scene is said that holds the most of a query's words; null if none holds any.
create or replace function scenebook.matched_line(
    scene_id uuid,
    configuration regconfig,
    query tsquery,
    words text[],                           -- of the query, as the configuration stems them
    filter_user_id uuid
)
returns bigint
language sql stable security invoker parallel safe
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
    select u.start_ms
    from public.utterances as u
    cross join lateral pg_catalog.to_tsvector(matched_line.configuration, u.text) as line
    cross join lateral (
        select pg_catalog.count(*) as words
        from pg_catalog.unnest(pg_catalog.tsvector_to_array(line)) as w
        where w = any (matched_line.words)
    ) as held
    where u.owner_id = filter_user_id
      and u.scene_id = matched_line.scene_id
      and held.words > 0
    order by line operator(pg_catalog.@@) matched_line.query desc, held.words desc, u.ordinal
    limit 1
$$;
comment on function scenebook.matched_line is
    'When the line of a scene is said that holds the most of a query''s words.';
revoke all on function scenebook.matched_line from public, anon;
grant execute on function scenebook.matched_line
    to authenticated, service_role, scenebook_api, scenebook_worker;
