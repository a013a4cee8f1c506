update public.scenes set sidecar = cast(:sidecar as jsonb), lease_token = :token
where owner_id = :owner_id and id = :scene_id
