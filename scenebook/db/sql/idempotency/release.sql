delete from public.idempotency_keys
where owner_id = :owner_id and key = :key and status is null and locked_until = :locked_until
