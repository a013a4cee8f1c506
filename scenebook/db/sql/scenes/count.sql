select count(*) from public.scenes
where owner_id = :owner_id and video_id = :video_id and generation = :generation
