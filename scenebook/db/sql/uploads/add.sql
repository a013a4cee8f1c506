insert into public.uploads (owner_id, bytes, metadata, expires_at)
values (:owner_id, :bytes, cast(:metadata as jsonb), now() + make_interval(secs => :ttl_s))
returning id, owner_id, bytes, received, metadata, video_id, expires_at, false as expired
