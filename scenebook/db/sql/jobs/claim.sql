-- Takes one due job under a lease with a new fencing token. No row: somebody else has it.
update public.jobs
set state = 'running',
    attempt = attempt + 1,
    lease_token = nextval('public.lease_tokens'),
    lease_owner = :worker,
    lease_until = now() + make_interval(secs => :lease_s),
    deadline_at = now() + make_interval(secs => :deadline_s),
    started_at = now(),
    progress = 0
where id = :id
  and state in ('queued', 'retryable')
  and run_at <= now()
  and not cancel_requested
  and not exists (select from public.workers as w where w.id = :worker and w.draining)
returning id, owner_id, video_id, generation, stage, unit, units, attempt, lease_token, traceparent
