-- Extends the lease, never far beyond the deadline. No row: the job is lost.
update public.jobs as j
set lease_until = least(now() + make_interval(secs => :lease_s), j.deadline_at + interval '1 second'),
    progress = :progress,
    total = coalesce(:total, j.total)
where j.id = :id and j.lease_token = :token and j.state = 'running'
returning
    j.cancel_requested,
    now() >= j.deadline_at as over_deadline,
    exists (select from public.workers as w where w.id = j.lease_owner and w.draining) as draining
