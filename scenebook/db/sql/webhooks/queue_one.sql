insert into public.webhook_deliveries (owner_id, endpoint_id, event, payload, traceparent)
values (:owner_id, :endpoint_id, :event, cast(:payload as jsonb), :traceparent)
returning id
