-- Scenes of one owner that hold the words of a query, by what is said and described; best first.
create or replace function public.search_scenes_by_text(
    query_text text,                        -- as typed: words, "phrases", -left out, or
    match_count integer default 20,
    filter_video_id uuid default null,
    filter_user_id uuid default null,       -- required all the same: null raises
    match_offset integer default 0,
    filter_scene_ids uuid[] default null,   -- null: all scenes of the owner
    after_text_rank double precision default null,  -- with after_scene_id: the row that the page
    after_scene_id uuid default null,               -- before ended with
    as_of timestamptz default null          -- leave out scenes that came later
)
returns table (
    scene_id uuid,
    video_id uuid,
    scene_index integer,
    start_ms bigint,
    end_ms bigint,
    text_rank double precision,
    matched_ms bigint
)
language plpgsql stable security invoker parallel safe rows 20
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
#variable_conflict use_variable
declare
    ids uuid[];
    ranks double precision[];
begin
    select pg_catalog.array_agg(w.scene_id), pg_catalog.array_agg(w.text_rank)
    into ids, ranks
    from scenebook.scenes_by_words(
        query_text => query_text,
        match_count => match_count,
        filter_video_id => filter_video_id,
        filter_user_id => filter_user_id,
        match_offset => match_offset,
        filter_scene_ids => filter_scene_ids,
        after_text_rank => after_text_rank,
        after_scene_id => after_scene_id,
        as_of => as_of
    ) as w;
    return query
    select s.id, s.video_id, s.scene_index, s.start_ms, s.end_ms, f.text_rank,
           coalesce(l.matched_ms, s.start_ms)
    from unnest(ids, ranks) as f (id, text_rank)
    join public.scenes as s on s.owner_id = filter_user_id and s.id = f.id
    left join scenebook.matched_lines(coalesce(ids, '{}'), query_text, filter_user_id) as l
        on l.scene_id = f.id
    order by f.text_rank desc, s.id;
end;
$$;
comment on function public.search_scenes_by_text is
    'Scenes of one owner that hold the words of a query, by what is said and described; best first.';
revoke all on function public.search_scenes_by_text from public, anon;
grant execute on function public.search_scenes_by_text
    to authenticated, service_role, scenebook_api, scenebook_worker;
