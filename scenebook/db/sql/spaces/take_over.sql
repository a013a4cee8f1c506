-- What the model of the space that becomes active made of each scene.
update public.scene_channels as c
set status = x.status, error = x.error, metadata = x.metadata, updated_at = x.updated_at
from public.space_scenes as x
where x.space_id = :space_id and x.owner_id = :owner_id
  and c.owner_id = x.owner_id and c.scene_id = x.scene_id and c.channel = :channel
  and c.status = any(:of_model)
