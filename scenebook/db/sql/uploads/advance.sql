-- A part is stored. No row: another request has taken over.
update public.uploads
set received = received + :bytes, expires_at = now() + make_interval(secs => :ttl_s)
where owner_id = :owner_id and id = :id and writer = :writer and received = :offset
returning received
