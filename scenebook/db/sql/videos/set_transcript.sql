update public.videos set transcript_key = :transcript_key, updated_at = now()
where owner_id = :owner_id and id = :video_id
