-- Jobs of a video that are not finished.
select count(*) as jobs, count(*) filter (where state = 'running') as running
from public.jobs
where owner_id = :owner_id and video_id = :video_id
  and state in ('queued', 'retryable', 'running') and id <> :except_id
