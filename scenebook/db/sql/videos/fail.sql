-- A failed re-indexing leaves the earlier generation searchable, so the video is only partial.
update public.videos as v
set status = case
        when exists (select from public.scenes as s
                     where s.owner_id = v.owner_id and s.video_id = v.id
                       and s.generation = v.generation and v.generation < :generation)
        then 'partial' else 'failed'
    end,
    failed_stage = :stage,
    reason = :reason,
    updated_at = now()
where v.owner_id = :owner_id and v.id = :video_id and v.status <> 'deleting'
returning v.id
