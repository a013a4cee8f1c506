-- Jobs that somebody holds, and for how long yet; a negative lease is about to be swept.
select
    id, owner_id, video_id, stage, attempt, crash_count, lease_owner as worker,
    extract(epoch from lease_until - now()) as lease_s,
    extract(epoch from now() - started_at) as running_s
from public.jobs
where state = 'running'
order by lease_until
limit :limit
