-- What a failed job leaves undone is said, scene by scene.
update public.scene_channels as c
set status = 'error', error = :error, updated_at = now()
from public.scenes as s
where s.owner_id = :owner_id and s.video_id = :video_id and s.generation = :generation
  and s.scene_index >= :first and s.scene_index < :last
  and c.owner_id = s.owner_id and c.scene_id = s.id
  and c.channel = any(:channels)
  and c.status = 'pending'
returning c.channel
