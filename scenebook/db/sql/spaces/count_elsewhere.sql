-- Scenes of the owner that have vectors in this channel, but none in this space.
select count(distinct e.scene_id)
from public.scene_embeddings as e
join public.embedding_spaces as p on p.id = e.space_id
join public.videos as v
    on v.owner_id = e.owner_id and v.id = e.video_id and v.generation = e.generation
where p.channel = :channel
  and e.owner_id = :owner_id
  and v.status <> 'deleting'
  and not exists (
      select from public.scene_embeddings as here
      where here.space_id = :space_id and here.owner_id = e.owner_id
        and here.scene_id = e.scene_id)
