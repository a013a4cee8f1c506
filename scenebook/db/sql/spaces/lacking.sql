-- Scenes of the owner that could have a vector in a space and have none, in the order of videos.
-- A null space is one that nothing was ever embedded in.
select s.id, s.video_id, s.generation, s.scene_index
from public.scenes as s
join public.videos as v
    on v.owner_id = s.owner_id and v.id = s.video_id and s.generation >= v.generation
join public.scene_channels as c
    on c.owner_id = s.owner_id and c.scene_id = s.id and c.channel = :channel
left join public.space_scenes as x on x.scene_id = s.id and x.space_id = :space_id
where s.owner_id = :owner_id
  and v.status <> 'deleting'
  and (cast(:video_id as uuid) is null or s.video_id = :video_id)
  and (cast(:after_video as uuid) is null
       or (s.video_id, s.generation, s.scene_index)
          > (cast(:after_video as uuid), cast(:after_generation as integer),
             cast(:after_index as integer)))
  and case :channel
          when 'visual_clip' then exists (
              select from public.keyframes as k
              where k.owner_id = s.owner_id and k.scene_id = s.id)
          when 'transcript' then s.transcript <> ''
          when 'visual' then s.description <> ''
          when 'summary' then s.summary <> ''
      end
  and case
          when :active then c.status = any(:wanted)
          else (x.scene_id is null or x.status = any(:wanted))
              and (c.status = any(:of_model) or exists (
                  select from public.scene_embeddings as e
                  join public.embedding_spaces as p on p.id = e.space_id
                  where p.channel = :channel and p.status = 'active'
                    and e.owner_id = s.owner_id and e.scene_id = s.id))
      end
  and not exists (
      select from public.scene_embeddings as e
      where e.space_id = :space_id and e.owner_id = s.owner_id and e.scene_id = s.id)
order by s.video_id, s.generation, s.scene_index
limit :most
