insert into public.webhook_endpoints (owner_id, url, secret, events)
values (:owner_id, :url, :secret, :events)
returning
    id, url, secret, previous_secret, rotated_at, events, disabled_at, disabled_reason, created_at
