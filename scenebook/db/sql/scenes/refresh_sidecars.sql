-- Sidecars of one generation whose channels are not what scene_channels says.
-- Locked in the order in which writers of vectors lock scenes.
with locked as materialized (
    select s.id from public.scenes as s
    where s.owner_id = :owner_id and s.video_id = :video_id and s.generation = :generation
      and s.sidecar <> '{}'
    order by s.id
    for no key update
),
told as (
    select c.scene_id,
           jsonb_object_agg(c.channel, jsonb_build_object(
               'status', c.status, 'error', c.error, 'metadata', c.metadata)) as channels
    from public.scene_channels as c
    join locked as l on l.id = c.scene_id
    where c.owner_id = :owner_id
    group by c.scene_id
)
update public.scenes as s
set sidecar = jsonb_set(s.sidecar, '{channels}', t.channels)
from told as t
where s.owner_id = :owner_id and s.id = t.scene_id
  and s.sidecar -> 'channels' is distinct from t.channels
