select exists (
    select from public.webhook_endpoints as e
    where e.owner_id = :owner_id and e.disabled_at is null and :event = any(e.events)
)
