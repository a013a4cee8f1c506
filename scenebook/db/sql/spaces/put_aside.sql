-- What the active space's model made of each scene goes beside, where the space is no longer active.
-- A status that is about the scene and not about a model stays where it is.
insert into public.space_scenes (space_id, owner_id, scene_id, status, error, metadata, updated_at)
select :space_id, c.owner_id, c.scene_id, c.status, c.error, c.metadata, c.updated_at
from public.scene_channels as c
where c.owner_id = :owner_id and c.channel = :channel and c.status = any(:of_model)
on conflict (scene_id, space_id) do update
set status = excluded.status, error = excluded.error, metadata = excluded.metadata,
    updated_at = excluded.updated_at
