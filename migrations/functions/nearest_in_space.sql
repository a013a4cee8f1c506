-- Scenes of one owner nearest to any of some vectors in one embedding space; best first.
-- Exact, unless the owner has an index of its own (`scenebook spaces index`), the best of all its
-- scenes are asked for, and what the index finds stands out. Callers have checked the arguments.
create or replace function scenebook.nearest_in_space(
    space integer,
    query_embeddings public.vector[],
    match_threshold double precision,
    match_count integer,
    match_offset integer,
    filter_user_id uuid,
    filter_video_id uuid default null,
    filter_scene_ids uuid[] default null,
    after_similarity double precision default null,
    after_scene_id uuid default null,
    as_of timestamptz default null,
    without_scene_id uuid default null,
    without_video_id uuid default null
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
set plan_cache_mode = 'force_custom_plan'   -- load-bearing, see the test with twelve calls
as $$
#variable_conflict use_column
declare
    -- At norm 1 no product overflows. The query keeps its float32: rounding it to half precision
    -- would change places among near ties.
    wanted constant public.vector[] := array(
        select public.l2_normalize(q) from pg_catalog.unnest(query_embeddings) as q);
    single constant public.vector := case when pg_catalog.cardinality(wanted) = 1 then wanted[1] end;
    rounded constant public.halfvec := single::public.halfvec;
    last_similarity constant double precision := after_similarity;
    last_scene constant uuid := after_scene_id;
    -- An index cannot skip what a filter leaves out, nor the pages before, and finds few scenes best.
    index_rows constant double precision := case
        when single is not null and filter_video_id is null and filter_scene_ids is null
            and after_scene_id is null and without_video_id is null
            and match_offset + match_count <= 300
        then scenebook.own_index_rows(space, filter_user_id) end;
    by_index boolean := index_rows is not null;
    -- Two thirds of the time go into float32, so vectors are taken in the order of half precision
    -- and ranked again. Rounding moves the query by 2^-11 of its length at most, and so a cosine by
    -- less than this.
    rounding constant double precision := case when single is null then 0 else 0.001 end;
    -- Room for scenes with several vectors, and for vectors that readers do not see.
    fetched bigint := case when by_index then 2 * (match_offset + match_count) + 10
        else 3 * (match_offset + match_count) + 50 end;
    least_certain double precision;
    -- What the owner's index gives, in the same place of each.
    near_scenes uuid[];
    near_ordinals integer[];
    near_distances double precision[];
    page record;
begin
    if by_index then
        least_certain := scenebook.least_certain_similarity(
            space, single, match_offset + match_count, index_rows, filter_user_id);
        -- Only with literals does the planner know that the index holds all these rows.
        execute pg_catalog.format(
            $query$
                select pg_catalog.array_agg(n.scene_id), pg_catalog.array_agg(n.ordinal),
                    pg_catalog.array_agg(n.distance)
                from (
                    select e.scene_id, e.ordinal, %1$s as distance
                    from public.scene_embeddings as e
                    where e.space_id = %2$s
                      and e.owner_id = %3$L
                      and ($2 is null or e.created_at <= $2)
                    order by %1$s
                    limit $3
                ) as n
            $query$,
            pg_catalog.format('e.embedding::public.halfvec(%1$s) operator(public.<=>)'
                ' $1::public.halfvec(%1$s)', public.vector_dims(single)),
            space,
            filter_user_id)
        into near_scenes, near_ordinals, near_distances
        using single, as_of, fetched;
    end if;
    loop
        with fetched as materialized (      -- without the vectors: they are long to sort
            (
                select e.scene_id, e.ordinal,
                    case when single is null then (     -- the best pair counts
                        select min(e.embedding::public.vector operator(public.<=>) q)
                        from pg_catalog.unnest(wanted) as q)
                    else e.embedding operator(public.<=>) rounded end as distance
                from public.scene_embeddings as e
                where not by_index
                  and e.space_id = space
                  and e.owner_id = filter_user_id
                  and (filter_video_id is null or e.video_id = filter_video_id)
                  and (filter_scene_ids is null or e.scene_id = any (filter_scene_ids))
                  and (as_of is null or e.created_at <= as_of)
                  and (without_scene_id is null or e.scene_id <> without_scene_id)
                  and (without_video_id is null or e.video_id <> without_video_id)
                -- An order that no index has: it reads all vectors of the owner, and only those.
                order by distance
                limit fetched
            )
            union all
            select n.scene_id, n.ordinal, n.distance
            from unnest(near_scenes, near_ordinals, near_distances)
                as n (scene_id, ordinal, distance)
            where by_index
        ),
        ranked as materialized (            -- or all vectors might be read again to join videos
            select e.scene_id, e.video_id, e.generation, e.ordinal, e.at_ms,
                case when single is null then 1 - f.distance
                    else 1 - (e.embedding::public.vector operator(public.<=>) single)
                end as similarity
            from fetched as f
            join public.scene_embeddings as e
                on e.space_id = space
                and e.owner_id = filter_user_id
                and e.scene_id = f.scene_id
                and e.ordinal = f.ordinal
        ),
        best as (                           -- several vectors a scene: the nearest one counts
            select distinct on (r.scene_id) r.scene_id, r.similarity, r.at_ms
            from ranked as r
            join public.videos as v
                on v.owner_id = filter_user_id
                and v.id = r.video_id
                and v.generation = r.generation
            where r.similarity >= match_threshold
              and v.status <> 'deleting'
            order by r.scene_id, r.similarity desc, r.ordinal
        ),
        found as (
            select b.scene_id, b.similarity, b.at_ms
            from best as b
            where last_similarity is null
               or b.similarity < last_similarity
               or b.similarity = last_similarity and b.scene_id > last_scene
            order by b.similarity desc, b.scene_id
            limit match_count
            offset match_offset
        )
        select
            pg_catalog.array_agg(p.id) as ids,
            pg_catalog.array_agg(p.video_id) as video_ids,
            pg_catalog.array_agg(p.scene_index) as indexes,
            pg_catalog.array_agg(p.start_ms) as starts,
            pg_catalog.array_agg(p.end_ms) as ends,
            pg_catalog.array_agg(p.similarity) as similarities,
            pg_catalog.array_agg(p.at_ms) as times,
            count(*) as scenes,
            min(p.similarity) as last,
            (select count(*) from fetched) as vectors,
            (select 1 - max(f.distance) from fetched as f) as reach
        into page
        from (
            select s.id, s.video_id, s.scene_index, s.start_ms, s.end_ms, f.similarity, f.at_ms
            from found as f
            join public.scenes as s on s.owner_id = filter_user_id and s.id = f.scene_id
            order by f.similarity desc, s.id
        ) as p;
        if by_index then
            exit when page.vectors = fetched and page.scenes > 0
                and case when page.scenes = match_count then page.last >= least_certain
                    else page.reach < match_threshold and match_threshold >= least_certain end;
            by_index := false;
            fetched := 3 * (match_offset + match_count) + 50;
        else
            -- No scene that is not among those fetched comes before one that is.
            exit when page.vectors < fetched or page.reach + rounding < match_threshold
                or page.scenes = match_count and page.last > page.reach + rounding;
            fetched := fetched * 10;
        end if;
    end loop;
    return query
    select p.*, not by_index
    from unnest(
        page.ids, page.video_ids, page.indexes, page.starts, page.ends, page.similarities,
        page.times
    ) as p;
end;
$$;
comment on function scenebook.nearest_in_space is
    'Scenes of one owner nearest to any of some vectors in one embedding space; best first.';
revoke all on function scenebook.nearest_in_space from public, anon;
grant execute on function scenebook.nearest_in_space
    to authenticated, service_role, scenebook_api, scenebook_worker;
