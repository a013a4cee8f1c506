-- Revoking twice keeps the first time.
update public.api_keys
set revoked_at = coalesce(revoked_at, now())
where owner_id = :owner_id and id = :id
returning id, owner_id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at,
    coalesce(expires_at <= now(), false) as expired
