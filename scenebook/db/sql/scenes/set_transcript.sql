update public.scenes set transcript = :transcript, lease_token = :token
where owner_id = :owner_id and id = :scene_id
