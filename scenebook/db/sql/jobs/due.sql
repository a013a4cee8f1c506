-- Due jobs to publish, at most max_running in flight for an owner, one owner after the other.
-- Summed up rather than joined: owners times jobs would be too many pairs to look at.
with room as materialized (
    select w.owner_id, sum(w.places) as places, bool_or(w.enabled) as enabled
    from (
        select o.id as owner_id, o.max_running as places, o.disabled_at is null as enabled
        from public.owners as o
        union all
        select j.owner_id, -1, false
        from public.jobs as j
        where j.state = 'running'
           or (j.state in ('queued', 'retryable')
               and j.published_at >= now() - make_interval(secs => :republish_s))
    ) as w
    group by w.owner_id
    having sum(w.places) > 0
),
due as (
    select
        j.id,
        room.places,
        row_number() over (partition by j.owner_id order by j.priority, j.run_at, j.id) as place
    from public.jobs as j
    join room on room.owner_id = j.owner_id
    where j.state in ('queued', 'retryable')
      and j.run_at <= now()
      and not j.cancel_requested
      and (j.published_at is null
           or j.published_at < now() - make_interval(secs => :republish_s))
      and (room.enabled or j.stage = 'delete')
)
select j.id, j.stage
from public.jobs as j
join (
    select due.id, due.place
    from due
    where due.place <= due.places
    order by due.place, due.id
    limit :limit
) as chosen on chosen.id = j.id
where j.state in ('queued', 'retryable')
order by chosen.place, j.id
for update of j skip locked
