-- A bounded part of an owner's vectors in one space.
delete from public.scene_embeddings
where space_id = :space_id and owner_id = :owner_id
  and scene_id in (select scene_id from public.scene_embeddings
                   where space_id = :space_id and owner_id = :owner_id
                   order by scene_id limit :most)
