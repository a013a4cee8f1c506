-- What is recorded of these scenes in spaces of one channel that are not active.
delete from public.space_scenes
where owner_id = :owner_id and scene_id = any(:ids)
  and space_id in (select id from public.embedding_spaces where channel = :channel)
  and space_id <> all(cast(:except_in as integer[]))
