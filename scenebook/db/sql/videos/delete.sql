delete from public.videos where owner_id = :owner_id and id = :video_id
