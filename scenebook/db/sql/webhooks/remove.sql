-- Its deliveries go by cascade.
delete from public.webhook_endpoints where owner_id = :owner_id and id = :endpoint_id
returning id
