-- Scenes of one owner that hold the words of a query, ranked; best first. search_scenes_by_text is its
-- public name, and search_scenes_hybrid asks it too, which shows only some of what it finds.
create or replace function scenebook.scenes_by_words(
    query_text text,                        -- as typed: words, "phrases", -left out, or
    match_count integer,
    filter_video_id uuid,
    filter_user_id uuid,       -- required all the same: null raises
    match_offset integer,
    filter_scene_ids uuid[],   -- null: all scenes of the owner
    after_text_rank double precision,  -- with after_scene_id: the row that the page
    after_scene_id uuid,               -- before ended with
    as_of timestamptz          -- leave out scenes that came later
)
returns table (scene_id uuid, text_rank double precision, exact boolean)
language plpgsql stable security invoker parallel safe rows 20
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
#variable_conflict use_column
declare
    checked constant text := scenebook.checked_query(query_text, filter_user_id);
    problem text;
    remedy text;
    asked record;
    most constant integer := 10000;         -- words of so many scenes tell few of them apart
    all_ranked boolean := true;
    ids uuid[];
    ranks double precision[];
begin
    case
        when match_count is null or match_count not between 1 and 1000 then
            problem := 'match_count must lie between 1 and 1000';
            remedy := 'Ask for later pages with match_offset.';
        when match_offset is null or match_offset not between 0 and 1000000 then
            problem := 'match_offset must lie between 0 and 1000000';
            remedy := 'Pass how many of the best matches to leave out.';
        when (after_text_rank is null) <> (after_scene_id is null) or after_text_rank = 'NaN' then
            problem := 'after_text_rank and after_scene_id belong together';
            remedy := 'Pass both as the last row of the page before has them, or neither.';
        when after_scene_id is not null and match_offset > 0 then
            problem := 'match_offset and after_scene_id exclude each other';
            remedy := 'Page either by match_offset or by the last row of the page before.';
        else
            null;
    end case;
    if problem is not null then
        raise sqlstate 'PT400' using message = problem, hint = remedy;
    end if;
    for asked in
        select q.language, q.query from scenebook.queries_by_language(checked, filter_user_id) as q
    loop                                    -- one at a time, so that the planner knows the query
        select ids || pg_catalog.array_agg(f.id),
               ranks || pg_catalog.array_agg(
                   pg_catalog.ts_rank_cd(f.search_text, asked.query, 32)::double precision)
        into ids, ranks
        from (
            select s.id, s.search_text
            from public.scenes as s
            join public.videos as v
                on v.owner_id = filter_user_id
                and v.id = s.video_id
                and v.generation = s.generation
            where s.owner_id = filter_user_id
              and (s.language = asked.language or (asked.language is null and s.language is null))
              and s.search_text operator(pg_catalog.@@) asked.query
              and v.status <> 'deleting'
              and (filter_video_id is null or s.video_id = filter_video_id)
              and (filter_scene_ids is null or s.id = any (filter_scene_ids))
              and (as_of is null or s.created_at <= as_of)
            order by s.id
            limit most
        ) as f;
        all_ranked := all_ranked and coalesce(pg_catalog.cardinality(ids), 0) < most;
    end loop;
    return query
    select r.id, r.text_rank, all_ranked
    from unnest(ids, ranks) as r (id, text_rank)
    where after_scene_id is null
       or r.text_rank < after_text_rank
       or (r.text_rank = after_text_rank and r.id > after_scene_id)
    order by r.text_rank desc, r.id
    limit match_count
    offset match_offset;
end;
$$;
comment on function scenebook.scenes_by_words is
    'Scenes of one owner that hold the words of a query, ranked; best first.';
revoke all on function scenebook.scenes_by_words from public, anon;
grant execute on function scenebook.scenes_by_words
    to authenticated, service_role, scenebook_api, scenebook_worker;
