update public.webhook_endpoints
set previous_secret = secret, secret = :secret, rotated_at = now()
where owner_id = :owner_id and id = :endpoint_id
