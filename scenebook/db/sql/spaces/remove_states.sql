delete from public.space_scenes where space_id = :space_id and owner_id = :owner_id
