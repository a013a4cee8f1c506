-- Scenes of one owner nearest to a vector in one channel: exact, owner first, best first.
-- The search_scenes_by_…_embedding functions are its public names.
create or replace function scenebook.scenes_nearest(
    channel text,
    query_embedding public.vector,
    match_threshold double precision,
    match_count integer,
    filter_video_id uuid,
    filter_user_id uuid,
    filter_space_id integer,
    match_offset integer
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
set plan_cache_mode = 'force_custom_plan'   -- load-bearing, see the test with twelve calls
as $$
#variable_conflict use_column
declare
    space integer;
    wanted public.vector;
begin
    space := scenebook.checked_space(
        channel, query_embedding, match_threshold, match_count, filter_user_id, filter_space_id,
        match_offset);
    if space is null then
        return;                             -- nothing has been embedded in this channel yet
    end if;
    -- At norm 1 no product overflows. The query keeps its float32: rounding it to half precision
    -- would change places among near ties.
    wanted := public.l2_normalize(query_embedding);
    return query
    with owned as materialized (            -- owner first, exact: keeps the planner off any HNSW
        select
            e.scene_id,
            e.video_id,
            e.generation,
            e.ordinal,
            e.at_ms,
            1 - (e.embedding::public.vector operator(public.<=>) wanted) as similarity
        from public.scene_embeddings as e
        where e.space_id = space
          and e.owner_id = filter_user_id
          and (filter_video_id is null or e.video_id = filter_video_id)
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
        -- Enough for the page even if each of its scenes has as many vectors as any scene has;
        -- sorting all of a large owner's vectors by scene would cost more than the search.
        limit (match_offset + match_count)::bigint * (select max(o.ordinal) + 1 from owned as o)
    ),
    best as (                               -- several vectors a scene: the nearest one counts
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
comment on function scenebook.scenes_nearest is
    'Scenes of one owner nearest to a vector in one channel: exact, owner first, best first.';
revoke all on function scenebook.scenes_nearest from public, anon;
grant execute on function scenebook.scenes_nearest
    to authenticated, service_role, scenebook_api, scenebook_worker;
