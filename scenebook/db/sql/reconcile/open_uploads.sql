-- Uploads among these ids that are not complete; a video that comes of one has its id.
select id from public.uploads where owner_id = :owner_id and id = any(:ids) and video_id is null
