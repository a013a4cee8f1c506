update public.videos
set status = :status, failed_stage = :failed_stage, reason = :reason, updated_at = now()
where owner_id = :owner_id and id = :video_id and status <> 'deleting'
