update public.uploads set video_id = :video_id where owner_id = :owner_id and id = :id
