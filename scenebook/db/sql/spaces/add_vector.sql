insert into public.scene_embeddings
    (space_id, owner_id, video_id, scene_id, generation, ordinal, at_ms, embedding)
values
    (:space_id, :owner_id, :video_id, :scene_id, :generation, :ordinal, :at_ms,
     cast(:embedding as public.halfvec))
