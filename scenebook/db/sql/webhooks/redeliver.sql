-- All attempts anew, under the same id.
update public.webhook_deliveries
set state = 'pending', attempt = 0, next_at = now(), finished_at = null
where owner_id = :owner_id and endpoint_id = :endpoint_id and id = :delivery_id
