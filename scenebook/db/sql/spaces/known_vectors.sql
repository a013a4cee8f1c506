-- The time says which keyframe a vector stands for; a mean of several has none. The scenes that ask
-- do not answer: doing them again is to look at their pictures again.
select distinct on (k.image_hash) k.image_hash, e.embedding::text as embedding
from public.keyframes as k
join public.scene_embeddings as e
    on e.space_id = :space_id and e.owner_id = k.owner_id and e.scene_id = k.scene_id
    and e.at_ms = k.at_ms
where k.owner_id = :owner_id and k.image_hash = any(:hashes)
  and k.scene_id <> all(cast(:asking as uuid[]))
order by k.image_hash
