-- What the doorbell rang for and nobody claimed, and what this worker holds.
select
    (select count(*) from public.jobs as j
     where j.state in ('queued', 'retryable')
       and j.run_at <= now()
       and j.published_at is not null
       and not j.cancel_requested) as due,
    (select count(*) from public.jobs as j
     where j.state = 'running' and j.lease_owner = :worker) as running
