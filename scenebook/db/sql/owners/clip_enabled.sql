select clip_enabled from public.owners where id = :owner_id
