update public.webhook_endpoints
set disabled_at = now(), disabled_reason = :reason
where owner_id = :owner_id and id = :endpoint_id and disabled_at is null
returning id
