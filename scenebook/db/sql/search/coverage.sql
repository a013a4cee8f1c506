-- Of the scenes that the owner sees: how many there are, and how many each channel has or awaits.
select
    c.channel,
    count(*) as scenes,
    count(*) filter (where c.status = 'ok') as ok,
    count(*) filter (where c.status = 'pending') as pending
from public.scene_channels as c
join public.scenes as s on s.owner_id = c.owner_id and s.id = c.scene_id
join public.videos as v
    on v.owner_id = s.owner_id and v.id = s.video_id and v.generation = s.generation
where c.owner_id = :owner_id and v.status <> 'deleting'
group by c.channel
