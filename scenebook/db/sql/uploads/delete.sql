delete from public.uploads where owner_id = :owner_id and id = :id
