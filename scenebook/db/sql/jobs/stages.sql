-- How far each stage of one generation is.
select
    stage,
    count(*) as jobs,
    count(*) filter (where state in ('succeeded', 'failed', 'cancelled')) as finished,
    count(*) filter (where state = 'failed') as failed,
    count(*) filter (where state = 'cancelled') as cancelled,
    count(*) filter (where state = 'running') as running,
    count(*) filter (where state = 'retryable') as retrying,
    sum(case when state = 'succeeded' then coalesce(total, 1) else least(progress, coalesce(total, progress)) end) as done,
    sum(coalesce(total, greatest(progress, 1))) as total,
    min(started_at) as started_at,
    max(finished_at) as finished_at,
    (array_agg(errors -> -1 ->> 'message' order by finished_at desc nulls last)
        filter (where state = 'failed'))[1] as error,
    (array_agg(errors -> -1 ->> 'code' order by finished_at desc nulls last)
        filter (where state = 'failed'))[1] as error_code
from public.jobs
where owner_id = :owner_id and video_id = :video_id and generation = :generation
group by stage
