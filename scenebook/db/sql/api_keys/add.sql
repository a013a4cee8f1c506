insert into public.api_keys (owner_id, name, prefix, secret_hash, scopes, expires_at)
values (:owner_id, :name, :prefix, :secret_hash, :scopes,
    now() + make_interval(days => cast(:expires_days as integer)))
returning id, owner_id, name, prefix, scopes, created_at, expires_at, revoked_at, last_used_at,
    false as expired
