-- Scenes of one owner that look (or sound, or read) like a given scene of the same owner; best first.
-- The scene itself is left out. A scene that is another owner's, or gone, or without a vector in
-- the channel, has no rows, as one that never existed.
drop function if exists public.find_similar_scenes( -- of the release before
    uuid, text, double precision, integer, uuid, uuid, boolean, integer, integer);
create or replace function public.find_similar_scenes(
    to_scene_id uuid,
    channel text default 'visual_clip',
    match_threshold double precision default 0.7,   -- picture to picture; text to text lies lower
    match_count integer default 20,
    filter_video_id uuid default null,
    filter_user_id uuid default null,               -- required all the same: null raises
    other_videos_only boolean default false,        -- leave out the scene's own video
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
#variable_conflict use_column
declare
    wanted_channel constant text := channel;
    space integer;
    asked public.vector[];
    own_video_id uuid;
begin
    if to_scene_id is null then
        raise sqlstate 'PT400' using
            message = 'to_scene_id is required',
            hint = 'Pass the id of the scene that others are to be similar to.';
    end if;
    if other_videos_only is null then
        raise sqlstate 'PT400' using
            message = 'other_videos_only is required',
            hint = 'Pass true to leave out the scene''s own video, or false.';
    end if;
    -- The rest is checked as a search's arguments are. Any vector of the space's dimensions stands
    -- in for the query's, whose place the scene's own vectors take.
    space := scenebook.checked_space(
        wanted_channel,
        (
            select pg_catalog.array_fill(1::real, array[coalesce(max(p.dimensions), 1)])
            from public.embedding_spaces as p
            where p.channel = wanted_channel
              and case when filter_space_id is null then p.status = 'active'
                       else p.id = filter_space_id end
        )::public.vector,
        match_threshold, match_count, filter_user_id, filter_space_id, match_offset,
        after_similarity, after_scene_id);
    if space is null then
        return;                             -- nothing has been embedded in this channel yet
    end if;
    -- The vectors of the scene, if its owner can see it.
    select pg_catalog.array_agg(e.embedding::public.vector), min(e.video_id::text)::uuid
    into asked, own_video_id
    from public.scene_embeddings as e
    join public.videos as v
        on v.owner_id = filter_user_id
        and v.id = e.video_id
        and v.generation = e.generation
    where e.space_id = space
      and e.owner_id = filter_user_id
      and e.scene_id = to_scene_id
      and v.status <> 'deleting';
    if asked is null then
        return;
    end if;
    return query
    select n.*
    from scenebook.nearest_in_space(
        space => space,
        query_embeddings => asked,
        match_threshold => match_threshold,
        match_count => match_count,
        match_offset => match_offset,
        filter_user_id => filter_user_id,
        filter_video_id => filter_video_id,
        after_similarity => after_similarity,
        after_scene_id => after_scene_id,
        without_scene_id => to_scene_id,
        without_video_id => case when other_videos_only then own_video_id end
    ) as n;
end;
$$;
comment on function public.find_similar_scenes is
    'Scenes of one owner that are most similar to one of its scenes in a channel; best first.';
revoke all on function public.find_similar_scenes from public, anon;
grant execute on function public.find_similar_scenes
    to authenticated, service_role, scenebook_api, scenebook_worker;
