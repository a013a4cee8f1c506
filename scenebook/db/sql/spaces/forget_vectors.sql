-- The vectors of these scenes in one channel, in every space of it but the excepted ones.
delete from public.scene_embeddings
where owner_id = :owner_id and scene_id = any(:ids)
  and space_id in (select id from public.embedding_spaces where channel = :channel)
  and space_id <> all(cast(:except_in as integer[]))
