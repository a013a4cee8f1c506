select id, owner_id, bytes, received, metadata, video_id, expires_at, expires_at <= now() as expired
from public.uploads
where owner_id = :owner_id and id = :id
for update
