-- The log, newest first; `before` is the last row of the page before.
select
    d.id, d.endpoint_id, d.event, d.payload, d.state, d.attempt, d.next_at, d.response_status,
    d.error, d.created_at, d.finished_at
from public.webhook_deliveries as d
where d.owner_id = :owner_id
  and d.endpoint_id = :endpoint_id
  and (cast(:delivery_id as uuid) is null or d.id = :delivery_id)
  and (cast(:before_at as timestamptz) is null
       or (d.created_at, d.id) < (cast(:before_at as timestamptz), cast(:before_id as uuid)))
order by d.created_at desc, d.id desc
limit :limit
