delete from public.video_words where owner_id = :owner_id and video_id = :video_id
