-- Takes a key that is new, expired, or whose first request died. No row: it is somebody else's.
insert into public.idempotency_keys as k (owner_id, key, request_hash, locked_until)
values (:owner_id, :key, :request_hash, now() + make_interval(secs => :lock_s))
on conflict (owner_id, key) do update
set request_hash = excluded.request_hash, status = null, response = null,
    locked_until = excluded.locked_until, created_at = now()
where k.created_at < now() - make_interval(secs => :ttl_s)
   or (k.status is null and k.locked_until < now())
returning locked_until
