select id, title from public.videos
where owner_id = :owner_id and id = any(:ids) and status <> 'deleting'
