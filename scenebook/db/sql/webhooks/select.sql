select
    e.id, e.url, e.secret, e.previous_secret, e.rotated_at, e.events, e.disabled_at,
    e.disabled_reason, e.created_at
from public.webhook_endpoints as e
where e.owner_id = :owner_id
  and (cast(:endpoint_id as uuid) is null or e.id = :endpoint_id)
order by e.created_at, e.id
