-- Only the request that still holds the lock says how it ended.
update public.idempotency_keys
set status = :status, response = cast(:response as jsonb)
where owner_id = :owner_id and key = :key and status is null and locked_until = :locked_until
