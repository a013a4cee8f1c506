select request_hash, status, response
from public.idempotency_keys
where owner_id = :owner_id and key = :key
