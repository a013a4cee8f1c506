-- Without `again_s` it is given up. Another copy may have taken it meanwhile, with a later attempt.
update public.webhook_deliveries
set response_status = :status,
    error = :error,
    next_at = now() + make_interval(secs => coalesce(cast(:again_s as float8), 0)),
    state = case when cast(:again_s as float8) is null then 'failed' else 'pending' end,
    finished_at = case when cast(:again_s as float8) is null then now() end
where id = :id and state = 'pending' and attempt = :attempt
returning id
