-- At most once a minute, and never behind somebody who holds the row.
update public.api_keys
set last_used_at = now()
where id in (
    select id
    from public.api_keys
    where owner_id = :owner_id and id = :id
        and (last_used_at is null or last_used_at < now() - interval '1 minute')
    for no key update skip locked
)
