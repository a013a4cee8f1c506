-- The files are stored; only the first to say so starts the work.
update public.videos
set status = 'waiting', transcript_key = :transcript_key, updated_at = now()
where owner_id = :owner_id and id = :video_id and status = 'uploading'
returning id
