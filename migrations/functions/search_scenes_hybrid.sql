-- Scenes of one owner that answer a query in any of its parts, fused over the channels; best first.
-- Weighted reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009. A channel without a part
-- of the query gives its weight to the others.
create or replace function public.search_scenes_hybrid(
    query_text text default null,                   -- words, as websearch_to_tsquery reads them
    query_visual_clip_embedding public.vector default null,
    query_transcript_embedding public.vector default null,
    query_visual_embedding public.vector default null,
    query_summary_embedding public.vector default null,
    weights jsonb default '{}',                     -- by channel; 1 for those not named
    thresholds jsonb default '{}',                  -- by vector channel: the smallest similarity
    match_count integer default 20,
    filter_video_id uuid default null,
    filter_user_id uuid default null,               -- required all the same: null raises
    filter_video_ids uuid[] default null,
    filter_tags text[] default null,                -- a scene must have all of them
    filter_from_ms bigint default null,             -- a scene must overlap this part of its video
    filter_to_ms bigint default null,
    filter_min_duration_ms bigint default null,     -- of the scene
    filter_max_duration_ms bigint default null,
    filter_has_speech boolean default null,
    filter_space_ids jsonb default '{}',            -- by vector channel; else the active space
    except_scene_id uuid default null,              -- the scene that the query was made of
    candidates integer default 200,                 -- matches a channel that take part
    after_score double precision default null,      -- with after_scene_id: the last row of a page
    after_scene_id uuid default null,
    as_of timestamptz default null                  -- leave out what came later: for further pages
)
returns table (
    scene_id uuid,
    video_id uuid,
    scene_index integer,
    start_ms bigint,
    end_ms bigint,
    score double precision,
    matched_ms bigint,
    matches jsonb,
    exact boolean
)
language plpgsql stable security invoker rows 20
set search_path = ''
set plan_cache_mode = 'force_custom_plan'   -- as scenebook.scenes_nearest
as $$
#variable_conflict use_column
declare
    rank_constant constant integer := 60;
    vector_channels constant text[] := array['visual_clip', 'transcript', 'visual', 'summary'];
    vectors constant public.vector[] := array[
        query_visual_clip_embedding, query_transcript_embedding,
        query_visual_embedding, query_summary_embedding];
    wanted_video constant uuid := filter_video_id;
    owner constant uuid := filter_user_id;
    last_scene constant uuid := after_scene_id;
    depth constant integer := candidates;
    snapshot constant timestamptz := as_of;
    only_scenes uuid[];
    asked text[];
    weight double precision;
    total_weight double precision;
    began timestamptz;
    timing_ms jsonb := '{}';
    all_exact boolean := true;
    one record;
    -- One entry a match, in the same place of each.
    found_scenes uuid[] := '{}';
    found_channels text[] := '{}';
    found_ranks integer[] := '{}';
    found_weights double precision[] := '{}';
    found_similarities double precision[] := '{}';
    found_text_ranks double precision[] := '{}';
    found_times bigint[] := '{}';
begin
    asked := scenebook.checked_hybrid(
        query_text, vectors, weights, thresholds, match_count, depth, owner, after_score,
        last_scene);
    only_scenes := scenebook.filtered_scenes(
        owner, filter_video_ids, filter_tags, filter_from_ms, filter_to_ms,
        filter_min_duration_ms, filter_max_duration_ms, filter_has_speech);

    for i in 1..cardinality(asked) loop
        began := pg_catalog.clock_timestamp();
        -- As good as nothing, and yet large enough to be divided.
        weight := greatest(coalesce((weights ->> asked[i])::numeric, 1), 1e-9);
        if asked[i] = 'lexical' then
            select
                coalesce(array_agg(t.scene_id order by t.text_rank desc, t.scene_id), '{}') as scenes,
                array_agg(t.text_rank order by t.text_rank desc, t.scene_id) as text_ranks,
                null::double precision[] as similarities,
                array_agg(null::bigint) as times,       -- looked up for the page alone
                coalesce(bool_and(t.exact), true) as exact
            into one
            from scenebook.scenes_by_words(
                query_text => query_text,
                match_count => depth,
                filter_video_id => wanted_video,
                filter_user_id => owner,
                match_offset => 0,
                filter_scene_ids => only_scenes,
                after_text_rank => null,
                after_scene_id => null,
                as_of => snapshot
            ) as t
            where t.scene_id is distinct from except_scene_id;
        else
            select
                coalesce(array_agg(n.scene_id order by n.similarity desc, n.scene_id), '{}') as scenes,
                null::double precision[] as text_ranks,
                array_agg(n.similarity order by n.similarity desc, n.scene_id) as similarities,
                array_agg(n.matched_ms order by n.similarity desc, n.scene_id) as times,
                coalesce(bool_and(n.exact), true) as exact
            into one
            from scenebook.scenes_nearest(
                channel => asked[i],
                query_embedding => vectors[array_position(vector_channels, asked[i])],
                match_threshold => coalesce((thresholds ->> asked[i])::double precision, -1),
                match_count => depth,
                filter_video_id => wanted_video,
                filter_user_id => owner,
                filter_space_id => (filter_space_ids ->> asked[i])::integer,
                match_offset => 0,
                filter_scene_ids => only_scenes,
                as_of => snapshot
            ) as n
            where n.scene_id is distinct from except_scene_id;
        end if;
        found_scenes := found_scenes || one.scenes;
        found_channels := found_channels || array_fill(asked[i], array[cardinality(one.scenes)]);
        found_ranks := found_ranks || array(select generate_series(1, cardinality(one.scenes)));
        found_weights := found_weights || array_fill(weight, array[cardinality(one.scenes)]);
        found_similarities := found_similarities || coalesce(
            one.similarities, array_fill(null::double precision, array[cardinality(one.scenes)]));
        found_text_ranks := found_text_ranks || coalesce(
            one.text_ranks, array_fill(null::double precision, array[cardinality(one.scenes)]));
        found_times := found_times || coalesce(one.times, '{}');
        all_exact := all_exact and one.exact;
        timing_ms := timing_ms || pg_catalog.jsonb_build_object(asked[i], round(
            1000 * extract(epoch from pg_catalog.clock_timestamp() - began), 2));
    end loop;
    -- For whoever asks in the same transaction: rows could not say it where there are none.
    perform pg_catalog.set_config('scenebook.search_timing_ms', timing_ms::text, true);
    perform pg_catalog.set_config('scenebook.search_exact', all_exact::text, true);

    select sum(greatest(coalesce((weights ->> c.name)::numeric, 1), 1e-9)) into total_weight
    from unnest(asked) as c (name);
    return query
    with found as (
        select *
        from unnest(
            found_scenes, found_channels, found_ranks, found_weights, found_similarities,
            found_text_ranks, found_times
        ) as f (scene_id, channel, rank, weight, similarity, text_rank, matched_ms)
    ),
    fused as (
        select
            f.scene_id,
            -- In one order: a sum in another would differ in its last digit from page to page.
            sum(f.weight / total_weight / (rank_constant + f.rank) order by f.channel) as score
        from found as f
        group by f.scene_id
    ),
    page as materialized (
        select f.scene_id, f.score
        from fused as f
        where after_score is null
            or f.score < after_score
            or (f.score = after_score and f.scene_id > last_scene)
        order by f.score desc, f.scene_id
        limit match_count
    ),
    reasons as (
        select f.scene_id, f.channel, f.rank, f.weight, f.similarity, f.text_rank,
            coalesce(f.matched_ms, l.matched_ms) as matched_ms
        from found as f
        join page as p on p.scene_id = f.scene_id
        left join scenebook.matched_lines(
            array(
                select w.scene_id from found as w join page as p on p.scene_id = w.scene_id
                where w.channel = 'lexical'
            ),
            query_text, owner
        ) as l on f.channel = 'lexical' and l.scene_id = f.scene_id
    ),
    explained as (
        select
            r.scene_id,
            (array_agg(r.matched_ms order by r.weight / (rank_constant + r.rank) desc, r.channel)
                filter (where r.matched_ms is not null))[1] as matched_ms,
            pg_catalog.jsonb_agg(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
                'channel', r.channel, 'rank', r.rank, 'similarity', r.similarity,
                'text_rank', r.text_rank, 'matched_ms', r.matched_ms)) order by r.channel) as matches
        from reasons as r
        group by r.scene_id
    )
    select
        s.id, s.video_id, s.scene_index, s.start_ms, s.end_ms, p.score, e.matched_ms, e.matches,
        all_exact
    from page as p
    join explained as e on e.scene_id = p.scene_id
    join public.scenes as s on s.owner_id = owner and s.id = p.scene_id
    order by p.score desc, p.scene_id;
end;
$$;
comment on function public.search_scenes_hybrid is
    'Scenes of one owner that answer a query in any of its parts, fused over the channels; best first.';
revoke all on function public.search_scenes_hybrid from public, anon;
grant execute on function public.search_scenes_hybrid
    to authenticated, service_role, scenebook_api, scenebook_worker;
