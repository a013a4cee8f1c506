-- Transcripts of one owner's scenes with the words of a query marked: U+E000 before, U+E001 after.
create or replace function public.highlight_scenes(
    scene_ids uuid[],
    query_text text,
    filter_user_id uuid
)
returns table (scene_id uuid, highlighted text, matched_ms bigint)
language plpgsql stable security invoker parallel safe rows 20
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
#variable_conflict use_column
declare
    checked constant text := scenebook.checked_query(query_text, filter_user_id);
    marks constant text := pg_catalog.format(
        'HighlightAll=true, StartSel="%s", StopSel="%s"',
        pg_catalog.chr(57344), pg_catalog.chr(57345));
begin
    if scene_ids is null or pg_catalog.cardinality(scene_ids) > 1000 then
        raise sqlstate 'PT400' using
            message = 'scene_ids must hold at most 1000 ids',
            hint = 'Pass the scenes of one page.';
    end if;
    return query
    select s.id,
           pg_catalog.ts_headline(
               a.configuration,
               pg_catalog.translate(
                   s.transcript, pg_catalog.chr(57344) || pg_catalog.chr(57345), ''),
               a.query, marks),
           -- A line that began in the scene before is heard from this one's start. Null is ignored.
           greatest(
               scenebook.matched_line(s.id, a.configuration, a.query, a.words, filter_user_id),
               s.start_ms)
    from scenebook.queries_by_language(checked, filter_user_id) as a
    join public.scenes as s
        on s.owner_id = filter_user_id
        and s.id = any (scene_ids)
        and s.language is not distinct from a.language
    join public.videos as v
        on v.owner_id = filter_user_id
        and v.id = s.video_id
        and v.generation = s.generation
    where v.status <> 'deleting'
      and s.transcript is not null;
end;
$$;
comment on function public.highlight_scenes is
    'Transcripts of one owner''s scenes with the words of a query marked.';
revoke all on function public.highlight_scenes from public, anon;
grant execute on function public.highlight_scenes
    to authenticated, service_role, scenebook_api, scenebook_worker;
