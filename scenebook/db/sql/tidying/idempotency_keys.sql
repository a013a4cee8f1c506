delete from public.idempotency_keys as k
using (
    select owner_id, key from public.idempotency_keys
    where created_at < now() - make_interval(secs => :older_s) and locked_until < now()
    order by created_at
    limit :limit
) as old
where k.owner_id = old.owner_id and k.key = old.key
