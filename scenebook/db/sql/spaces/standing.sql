-- How the owner's scenes stand in one space: scenes that readers see or are about to.
select count(*) filter (where has.vector) as embedded,
       count(*) filter (where c.status = 'ok' and not has.vector and x.scene_id is null) as missing,
       count(*) filter (where c.status = 'ok' and not has.vector and x.scene_id is not null)
           as failed
from public.scenes as s
join public.videos as v
    on v.owner_id = s.owner_id and v.id = s.video_id and s.generation >= v.generation
join public.scene_channels as c
    on c.owner_id = s.owner_id and c.scene_id = s.id and c.channel = :channel
left join public.space_scenes as x on x.scene_id = s.id and x.space_id = :space_id
cross join lateral (
    select exists (select from public.scene_embeddings as e
                   where e.space_id = :space_id and e.owner_id = s.owner_id
                     and e.scene_id = s.id) as vector
) as has
where s.owner_id = :owner_id and v.status <> 'deleting'
