update public.scenes
set description = :description, summary = :summary, tags = :tags, lease_token = :token
where owner_id = :owner_id and id = :scene_id
