select c.channel, c.status, count(*) as scenes, min(c.error) as error
from public.scene_channels as c
join public.scenes as s on s.owner_id = c.owner_id and s.id = c.scene_id
where s.owner_id = :owner_id and s.video_id = :video_id and s.generation = :generation
group by c.channel, c.status
order by c.channel, c.status
