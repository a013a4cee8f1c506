select id, owner_id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at,
    coalesce(expires_at <= now(), false) as expired
from public.api_keys
where secret_hash = :secret_hash
