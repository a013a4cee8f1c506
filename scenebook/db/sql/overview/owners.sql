-- The owners with most to be done, and how many of their jobs may run at once.
select
    j.owner_id,
    count(*) as jobs,
    count(*) filter (where j.state = 'running') as running,
    o.max_running
from public.jobs as j
join public.owners as o on o.id = j.owner_id
where j.state in ('queued', 'retryable', 'running')
group by j.owner_id, o.max_running
order by jobs desc
limit :limit
