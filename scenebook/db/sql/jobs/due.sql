-- Due jobs to publish, at most max_running in flight for an owner, one owner after the other.
with busy as (
    select j.owner_id, count(*) as jobs
    from public.jobs as j
    where j.state = 'running'
       or (j.state in ('queued', 'retryable')
           and j.published_at >= now() - make_interval(secs => :republish_s))
    group by j.owner_id
),
due as (
    select
        j.id,
        j.owner_id,
        j.stage,
        row_number() over (partition by j.owner_id order by j.priority, j.run_at, j.id) as place
    from public.jobs as j
    where j.state in ('queued', 'retryable')
      and j.run_at <= now()
      and not j.cancel_requested
      and (j.published_at is null
           or j.published_at < now() - make_interval(secs => :republish_s))
)
select j.id, j.stage
from public.jobs as j
join (
    select due.id, due.place
    from due
    join public.owners as o on o.id = due.owner_id
    left join busy on busy.owner_id = due.owner_id
    where due.place <= o.max_running - coalesce(busy.jobs, 0)
      and (o.disabled_at is null or due.stage = 'delete')
    order by due.place, due.id
    limit :limit
) as chosen on chosen.id = j.id
where j.state in ('queued', 'retryable')
order by chosen.place, j.id
for update of j skip locked
