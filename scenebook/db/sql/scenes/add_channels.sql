-- Every channel of every scene has a row from the start.
insert into public.scene_channels (owner_id, scene_id, channel)
select s.owner_id, s.id, c.channel
from public.scenes as s
cross join unnest(cast(:channels as text[])) as c (channel)
where s.owner_id = :owner_id and s.video_id = :video_id and s.generation = :generation
on conflict (scene_id, channel) do nothing
