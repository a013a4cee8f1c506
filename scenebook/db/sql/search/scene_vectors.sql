-- The first vector of a scene in each of these spaces.
select e.space_id, e.embedding::public.vector as embedding
from public.scene_embeddings as e
join public.videos as v
    on v.owner_id = e.owner_id and v.id = e.video_id and v.generation = e.generation
where e.owner_id = :owner_id
  and e.scene_id = :scene_id
  and e.space_id = any (cast(:space_ids as integer[]))
  and e.ordinal = 0
  and v.status <> 'deleting'
