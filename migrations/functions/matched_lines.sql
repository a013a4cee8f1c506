-- When, in each of some scenes of one owner, the line is said that holds the most of a query's words;
-- without the scenes in which no line holds any.
create or replace function scenebook.matched_lines(
    scene_ids uuid[],
    query_text text,
    filter_user_id uuid
)
returns table (scene_id uuid, matched_ms bigint)
language plpgsql stable security invoker parallel safe rows 20
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
#variable_conflict use_variable
begin
    if scene_ids = '{}' then
        return;                             -- there may be no query then
    end if;
    return query
    with lines as materialized (            -- or each line would be looked for twice
        select s.id, s.start_ms,
            scenebook.matched_line(s.id, a.configuration, a.query, a.words, filter_user_id) as line_ms
        from scenebook.queries_by_language(
            scenebook.checked_query(query_text, filter_user_id), filter_user_id
        ) as a
        join public.scenes as s
            on s.owner_id = filter_user_id
            and s.id = any (scene_ids)
            and s.language is not distinct from a.language
    )
    select l.id, greatest(l.line_ms, l.start_ms)    -- a line may begin in the scene before
    from lines as l
    where l.line_ms is not null;
end;
$$;
comment on function scenebook.matched_lines is
    'When, in each of some scenes, the line is said that holds the most of a query''s words.';
revoke all on function scenebook.matched_lines from public, anon;
grant execute on function scenebook.matched_lines
    to authenticated, service_role, scenebook_api, scenebook_worker;
