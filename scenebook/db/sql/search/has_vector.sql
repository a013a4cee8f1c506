select exists (
    select from public.scene_embeddings
    where space_id = :space_id and owner_id = :owner_id and scene_id = :scene_id)
