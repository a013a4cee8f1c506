-- Scenes of one owner that look (or sound, or read) like a given scene of the same owner; best first.
-- The scene itself is left out. A scene that is another owner's, or gone, or without a vector in
-- the channel, has no rows, as one that never existed.
create or replace function public.find_similar_scenes(
    to_scene_id uuid,
    channel text default 'visual_clip',
    match_threshold double precision default 0.7,   -- picture to picture; text to text lies lower
    match_count integer default 20,
    filter_video_id uuid default null,
    filter_user_id uuid default null,               -- required all the same: null raises
    other_videos_only boolean default false,        -- leave out the scene's own video
    filter_space_id integer default null,           -- null: the channel's active space
    match_offset integer default 0
)
returns table (
    scene_id uuid,
    video_id uuid,
    scene_index integer,
    start_ms bigint,
    end_ms bigint,
    similarity double precision,
    matched_ms bigint
)
language plpgsql stable security invoker parallel safe rows 20
set search_path = ''
set plan_cache_mode = 'force_custom_plan'   -- as scenebook.scenes_nearest
as $$
#variable_conflict use_column
declare
    wanted_channel constant text := channel;
    space integer;
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
        match_threshold, match_count, filter_user_id, filter_space_id, match_offset);
    if space is null then
        return;                             -- nothing has been embedded in this channel yet
    end if;
    return query
    with asked as materialized (            -- the vectors of the scene, if its owner can see it
        select e.video_id, e.embedding::public.vector as embedding
        from public.scene_embeddings as e
        join public.videos as v
            on v.owner_id = filter_user_id
            and v.id = e.video_id
            and v.generation = e.generation
        where e.space_id = space
          and e.owner_id = filter_user_id
          and e.scene_id = to_scene_id
          and v.status <> 'deleting'
    ),
    owned as materialized (                 -- owner first, exact: keeps the planner off any HNSW
        select
            e.scene_id,
            e.video_id,
            e.generation,
            e.ordinal,
            e.at_ms,
            (
                select max(1 - (e.embedding::public.vector operator(public.<=>) a.embedding))
                from asked as a
            ) as similarity                 -- the best pair counts; null without a vector to ask
        from public.scene_embeddings as e
        where e.space_id = space
          and e.owner_id = filter_user_id
          and e.scene_id <> to_scene_id
          and (filter_video_id is null or e.video_id = filter_video_id)
          and not (other_videos_only and e.video_id in (select a.video_id from asked as a))
    ),
    near as (
        select o.scene_id, o.ordinal, o.similarity, o.at_ms
        from owned as o
        join public.videos as v
            on v.owner_id = filter_user_id
            and v.id = o.video_id
            and v.generation = o.generation
        where o.similarity >= match_threshold
          and v.status <> 'deleting'
        order by o.similarity desc, o.scene_id, o.ordinal
        -- Enough for the page even if each of its scenes has as many vectors as any scene has.
        limit (match_offset + match_count)::bigint * (select max(o.ordinal) + 1 from owned as o)
    ),
    best as (
        select distinct on (n.scene_id) n.scene_id, n.similarity, n.at_ms
        from near as n
        order by n.scene_id, n.similarity desc, n.ordinal
    ),
    page as (
        select b.scene_id, b.similarity, b.at_ms
        from best as b
        order by b.similarity desc, b.scene_id
        limit match_count
        offset match_offset
    )
    select s.id, s.video_id, s.scene_index, s.start_ms, s.end_ms, p.similarity, p.at_ms
    from page as p
    join public.scenes as s on s.owner_id = filter_user_id and s.id = p.scene_id
    order by p.similarity desc, s.id;
end;
$$;
comment on function public.find_similar_scenes is
    'Scenes of one owner that are most similar to one of its scenes in a channel; best first.';
revoke all on function public.find_similar_scenes from public, anon;
grant execute on function public.find_similar_scenes
    to authenticated, service_role, scenebook_api, scenebook_worker;
