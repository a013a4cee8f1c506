-- Locks one expired job, unless it came back to life or was swept meanwhile.
select id, owner_id, video_id, generation, stage, unit, units, attempt, lease_token, traceparent,
       crash_count, cancel_requested, now() >= deadline_at as over_deadline
from public.jobs
where id = :id and state = 'running' and lease_until < now()
for update skip locked
