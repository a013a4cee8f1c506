-- Newest first.
select id, owner_id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at,
    coalesce(expires_at <= now(), false) as expired
from public.api_keys
where owner_id = :owner_id
order by created_at desc, id
limit :at_most
