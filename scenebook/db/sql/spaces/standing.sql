-- How the owner's scenes stand in one space: scenes that readers see or are about to. One that has a
-- vector in the active space is found by it, whatever its status waits for.
select count(*) filter (where has.vector) as embedded,
       count(*) filter (where has.found and not has.vector and x.scene_id is null) as missing,
       count(*) filter (where has.found and not has.vector and x.scene_id is not null) as failed
from public.scenes as s
join public.videos as v
    on v.owner_id = s.owner_id and v.id = s.video_id and s.generation >= v.generation
join public.scene_channels as c
    on c.owner_id = s.owner_id and c.scene_id = s.id and c.channel = :channel
left join public.space_scenes as x on x.scene_id = s.id and x.space_id = :space_id
cross join lateral (
    select exists (select from public.scene_embeddings as e
                   where e.space_id = :space_id and e.owner_id = s.owner_id
                     and e.scene_id = s.id) as vector,
           c.status = 'ok' or exists (
               select from public.scene_embeddings as e
               join public.embedding_spaces as p on p.id = e.space_id
               where p.channel = :channel and p.status = 'active'
                 and e.owner_id = s.owner_id and e.scene_id = s.id) as found
) as has
where s.owner_id = :owner_id and v.status <> 'deleting'
