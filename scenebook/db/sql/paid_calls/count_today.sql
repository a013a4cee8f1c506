-- Calls of one kind in the last 24 hours of the database's clock.
select count(*) from public.paid_calls
where owner_id = :owner_id and kind = :kind and created_at > now() - interval '24 hours'
