-- Scenes of one owner nearest to a vector in one channel; best first.
-- The search_scenes_by_…_embedding functions are its public names.
drop function if exists scenebook.scenes_nearest(   -- of the release before
    text, public.vector, double precision, integer, uuid, uuid, integer, integer);
create or replace function scenebook.scenes_nearest(
    channel text,
    query_embedding public.vector,
    match_threshold double precision,
    match_count integer,
    filter_video_id uuid,
    filter_user_id uuid,
    filter_space_id integer,
    match_offset integer,
    filter_scene_ids uuid[] default null,           -- null: all scenes of the owner
    after_similarity double precision default null, -- with after_scene_id: the row that the page
    after_scene_id uuid default null,               -- before ended with
    as_of timestamptz default null                  -- leave out vectors that came later
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
declare
    space integer;
begin
    space := scenebook.checked_space(
        channel, query_embedding, match_threshold, match_count, filter_user_id, filter_space_id,
        match_offset, after_similarity, after_scene_id);
    if space is null then
        return;                             -- nothing has been embedded in this channel yet
    end if;
    return query
    select n.*
    from scenebook.nearest_in_space(
        space => space,
        query_embeddings => array[query_embedding],
        match_threshold => match_threshold,
        match_count => match_count,
        match_offset => match_offset,
        filter_user_id => filter_user_id,
        filter_video_id => filter_video_id,
        filter_scene_ids => filter_scene_ids,
        after_similarity => after_similarity,
        after_scene_id => after_scene_id,
        as_of => as_of
    ) as n;
end;
$$;
comment on function scenebook.scenes_nearest is
    'Scenes of one owner nearest to a vector in one channel; best first.';
revoke all on function scenebook.scenes_nearest from public, anon;
grant execute on function scenebook.scenes_nearest
    to authenticated, service_role, scenebook_api, scenebook_worker;
