-- Another writer of the same scene may have been a moment faster.
insert into public.scene_embeddings
    (space_id, owner_id, video_id, scene_id, generation, ordinal, at_ms, embedding)
values
    (:space_id, :owner_id, :video_id, :scene_id, :generation, :ordinal, :at_ms,
     cast(:embedding as public.halfvec))
on conflict (space_id, owner_id, scene_id, ordinal) do update
set at_ms = excluded.at_ms, embedding = excluded.embedding
