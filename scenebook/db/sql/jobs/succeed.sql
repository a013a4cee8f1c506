update public.jobs
set state = 'succeeded', finished_at = now(), lease_until = null,
    progress = coalesce(total, progress)
where id = :id and lease_token = :token
