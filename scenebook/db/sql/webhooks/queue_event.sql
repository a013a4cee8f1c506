-- The outbox: one delivery for each enabled endpoint of the owner that wants this event.
insert into public.webhook_deliveries (owner_id, endpoint_id, event, payload, traceparent)
select e.owner_id, e.id, :event, cast(:payload as jsonb), :traceparent
from public.webhook_endpoints as e
where e.owner_id = :owner_id and e.disabled_at is null and :event = any(e.events)
