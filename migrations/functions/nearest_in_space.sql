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
    page record;
begin
    if by_index then
        least_certain := scenebook.least_certain_similarity(
            space, single, match_offset + match_count, index_rows, filter_user_id);
    end if;
    loop
        -- Only with literals does the planner know that the owner's index holds all these rows. The
        -- other order no index has: it reads all vectors of the owner, and only of the owner.
        execute pg_catalog.format(
            $query$
                with fetched as materialized (      -- without the vectors: they are long to sort
                    select e.scene_id, e.video_id, e.generation, e.ordinal, e.at_ms,
                        %4$s as distance
                    from public.scene_embeddings as e
                    where e.space_id = %2$s
                      and e.owner_id = %3$L
                      and ($8 is null or e.video_id = $8)
                      and ($9 is null or e.scene_id = any ($9))
                      and ($10 is null or e.created_at <= $10)
                      and ($11 is null or e.scene_id <> $11)
                      and ($12 is null or e.video_id <> $12)
                    order by distance
                    limit $13
                ),
                ranked as (
                    select f.scene_id, f.video_id, f.generation, f.ordinal, f.at_ms,
                        %1$s as similarity
                    from fetched as f
                    join public.scene_embeddings as e
                        on e.space_id = %2$s
                        and e.owner_id = %3$L
                        and e.scene_id = f.scene_id
                        and e.ordinal = f.ordinal
                ),
                best as (                   -- several vectors a scene: the nearest one counts
                    select distinct on (f.scene_id) f.scene_id, f.similarity, f.at_ms
                    from ranked as f
                    join public.videos as v
                        on v.owner_id = %3$L
                        and v.id = f.video_id
                        and v.generation = f.generation
                    where f.similarity >= $3
                      and v.status <> 'deleting'
                    order by f.scene_id, f.similarity desc, f.ordinal
                ),
                page as (
                    select b.scene_id, b.similarity, b.at_ms
                    from best as b
                    where $6 is null
                       or b.similarity < $6
                       or b.similarity = $6 and b.scene_id > $7
                    order by b.similarity desc, b.scene_id
                    limit $4
                    offset $5
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
                from (
                    select s.id, s.video_id, s.scene_index, s.start_ms, s.end_ms, b.similarity, b.at_ms
                    from page as b
                    join public.scenes as s on s.owner_id = %3$L and s.id = b.scene_id
                    order by b.similarity desc, s.id
                ) as p
            $query$,
            case when single is null
                then '(select max(1 - (e.embedding::public.vector operator(public.<=>) q))'
                    ' from pg_catalog.unnest($1) as q)'     -- the best pair counts
                else '1 - (e.embedding::public.vector operator(public.<=>) $2)' end,
            space,
            filter_user_id,
            case
                when by_index then pg_catalog.format('e.embedding::public.halfvec(%1$s)'
                    ' operator(public.<=>) $2::public.halfvec(%1$s)', public.vector_dims(single))
                when single is null then '(select min(e.embedding::public.vector'
                    ' operator(public.<=>) q) from pg_catalog.unnest($1) as q)'
                else 'e.embedding operator(public.<=>) $2::public.halfvec' end)
        into page
        using wanted, single, match_threshold, match_count, match_offset, after_similarity,
            after_scene_id, filter_video_id, filter_scene_ids, as_of, without_scene_id,
            without_video_id, fetched;
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
