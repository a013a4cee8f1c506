-- Due deliveries of enabled endpoints, one owner after the other. Whoever takes one has it until
-- next_at; if nobody says by then what became of it, it is due again.
with due as (
    select
        d.id,
        d.owner_id,
        d.next_at,
        row_number() over (partition by d.endpoint_id order by d.next_at, d.id)
            + coalesce(s.sending, 0) as place
    from public.webhook_deliveries as d
    join public.webhook_endpoints as e on e.owner_id = d.owner_id and e.id = d.endpoint_id
    left join unnest(cast(:endpoint_ids as uuid[]), cast(:endpoints_sending as integer[]))
        as s (id, sending) on s.id = d.endpoint_id
    where d.state = 'pending' and d.next_at <= now() and e.disabled_at is null
),
-- Places of an owner are given to what its endpoints may send, not to what waits behind that.
fair as (
    select
        due.id,
        row_number() over (partition by due.owner_id order by due.place, due.next_at, due.id)
            + coalesce(o.sending, 0) as place
    from due
    left join unnest(cast(:owner_ids as uuid[]), cast(:owners_sending as integer[]))
        as o (id, sending) on o.id = due.owner_id
    where due.place <= :most_of_endpoint
),
chosen as (
    select d.id
    from public.webhook_deliveries as d
    join fair on fair.id = d.id
    where fair.place <= :most_of_owner and d.state = 'pending' and d.next_at <= now()
    order by fair.place, d.next_at, d.id
    limit :limit
    for update of d skip locked
)
update public.webhook_deliveries as d
set attempt = d.attempt + 1, next_at = now() + make_interval(secs => :lease_s)
from chosen, public.webhook_endpoints as e
where d.id = chosen.id and e.owner_id = d.owner_id and e.id = d.endpoint_id
returning
    d.id, d.owner_id, d.endpoint_id, d.event, d.payload, d.attempt, d.traceparent, e.url, e.secret,
    case when e.rotated_at > now() - make_interval(secs => :rotation_s)
        then e.previous_secret end as previous_secret
