select scene_id, channel, status, error, metadata
from public.scene_channels
where owner_id = :owner_id and scene_id = any(:ids)
order by scene_id, channel
