-- Unfinished jobs by stage and state, and how long the oldest of them has been due.
select
    stage,
    state,
    count(*) as jobs,
    coalesce(extract(epoch from max(now() - run_at) filter (where state <> 'running')), 0)
        as oldest_s
from public.jobs
where state in ('queued', 'retryable', 'running')
group by stage, state
