-- The owner's scenes that pass the filters of a search; null if there is no filter.
create or replace function scenebook.filtered_scenes(
    filter_user_id uuid,
    filter_video_ids uuid[],
    filter_tags text[],
    filter_from_ms bigint,
    filter_to_ms bigint,
    filter_min_duration_ms bigint,
    filter_max_duration_ms bigint,
    filter_has_speech boolean
)
returns uuid[]
language plpgsql stable security invoker parallel safe
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
begin
    if num_nonnulls(filter_video_ids, filter_tags, filter_from_ms, filter_to_ms,
                    filter_min_duration_ms, filter_max_duration_ms, filter_has_speech) = 0 then
        return null;
    end if;
    return array(
        select s.id
        from public.scenes as s
        where s.owner_id = filter_user_id
          and (filter_video_ids is null or s.video_id = any (filter_video_ids))
          and (filter_tags is null or s.tags @> filter_tags)
          and (filter_from_ms is null or s.end_ms > filter_from_ms)
          and (filter_to_ms is null or s.start_ms < filter_to_ms)
          and (filter_min_duration_ms is null or s.end_ms - s.start_ms >= filter_min_duration_ms)
          and (filter_max_duration_ms is null or s.end_ms - s.start_ms <= filter_max_duration_ms)
          and (filter_has_speech is null
               or (coalesce(s.transcript, '') <> '') = filter_has_speech));
end;
$$;
comment on function scenebook.filtered_scenes is
    'The owner''s scenes that pass the filters of a search; null if there is no filter.';
revoke all on function scenebook.filtered_scenes from public, anon;
grant execute on function scenebook.filtered_scenes
    to authenticated, service_role, scenebook_api, scenebook_worker;
