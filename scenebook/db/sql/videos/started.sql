update public.videos set status = 'processing', updated_at = now()
where owner_id = :owner_id and id = :video_id and status = 'waiting'
