-- The new generation becomes the one that readers see.
update public.videos
set status = :status, generation = :generation, reason = :reason, failed_stage = null,
    updated_at = now()
where owner_id = :owner_id and id = :video_id and status <> 'deleting'
returning id
