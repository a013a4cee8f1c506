-- Of all owners, and some time after the end: a request that began before it may be joining parts.
select id, owner_id, bytes, received, metadata, video_id, expires_at, true as expired
from public.uploads
where expires_at < now() - interval '1 hour'
order by expires_at
limit :limit
