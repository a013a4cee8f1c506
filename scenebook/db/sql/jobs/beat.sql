-- Extends the lease while the deadline allows. No row: the job is lost.
update public.jobs as j
set lease_until = least(now() + make_interval(secs => :lease_s), j.deadline_at + interval '1 second'),
    progress = :progress,
    total = coalesce(:total, j.total)
where j.id = :id and j.lease_token = :token and j.state = 'running' and now() < j.deadline_at
returning
    j.cancel_requested,
    exists (select from public.workers as w where w.id = j.lease_owner and w.draining) as draining
