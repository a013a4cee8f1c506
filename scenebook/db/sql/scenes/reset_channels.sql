update public.scene_channels as c
set status = 'pending', error = null, updated_at = now()
from public.scenes as s
where s.owner_id = :owner_id and s.video_id = :video_id and s.generation = :generation
  and c.owner_id = s.owner_id and c.scene_id = s.id
  and c.channel = any(:channels)
  and (cast(:only as text) is null or c.status = :only)
