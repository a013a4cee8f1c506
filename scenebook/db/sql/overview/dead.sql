-- Jobs that were given up, newest first; a video that failed in a later try is there once more.
select
    id, owner_id, video_id, stage, attempt, crash_count, finished_at,
    errors -> -1 ->> 'code' as code,
    errors -> -1 ->> 'message' as message
from public.jobs
where state = 'failed'
order by finished_at desc
limit :limit
