-- The vectors of these scenes in one channel, in every space that it has.
delete from public.scene_embeddings
where owner_id = :owner_id and scene_id = any(:ids)
  and space_id in (select id from public.embedding_spaces where channel = :channel)
