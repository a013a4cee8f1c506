-- Scenes of one owner nearest to a text vector, by the description of what is seen; best first.
drop function if exists public.search_scenes_by_visual_embedding(   -- of the release before
    public.vector, double precision, integer, uuid, uuid, integer, integer);
create or replace function public.search_scenes_by_visual_embedding(
    query_embedding public.vector,
    match_threshold double precision default 0.3,   -- text to text: unrelated texts lie below about 0.2
    match_count integer default 20,
    filter_video_id uuid default null,
    filter_user_id uuid default null,               -- required all the same: null raises
    filter_space_id integer default null,           -- null: the channel's active space
    match_offset integer default 0,
    after_similarity double precision default null, -- both as in the last row of the page before:
    after_scene_id uuid default null                -- pages that stay in step while rows come and go
)
returns table (
    scene_id uuid,
    video_id uuid,
    scene_index integer,
    start_ms bigint,
    end_ms bigint,
    similarity double precision,
    matched_ms bigint,
    exact boolean
)
language plpgsql stable security invoker parallel unsafe rows 20
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
begin
    return query
    select n.*
    from scenebook.scenes_nearest(
        channel => 'visual',
        query_embedding => query_embedding,
        match_threshold => match_threshold,
        match_count => match_count,
        filter_video_id => filter_video_id,
        filter_user_id => filter_user_id,
        filter_space_id => filter_space_id,
        match_offset => match_offset,
        after_similarity => after_similarity,
        after_scene_id => after_scene_id
    ) as n;
end;
$$;
comment on function public.search_scenes_by_visual_embedding is
    'Scenes of one owner nearest to a text vector, by the description of what is seen; best first.';
revoke all on function public.search_scenes_by_visual_embedding from public, anon;
grant execute on function public.search_scenes_by_visual_embedding
    to authenticated, service_role, scenebook_api, scenebook_worker;
