-- A request that goes on at the right place becomes the writer; the one before is fenced off.
update public.uploads
set writer = writer + 1, expires_at = now() + make_interval(secs => :ttl_s)
where owner_id = :owner_id and id = :id and received = :offset
returning writer
