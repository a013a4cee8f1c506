-- Nothing has reached the endpoint since this delivery was first tried, days ago.
update public.webhook_endpoints as e
set disabled_at = now(), disabled_reason = :reason
where e.owner_id = :owner_id
  and e.id = :endpoint_id
  and e.disabled_at is null
  and not exists (
      select from public.webhook_deliveries as d
      join public.webhook_deliveries as given_up
          on given_up.id = :id and d.finished_at >= given_up.created_at
      where d.owner_id = e.owner_id and d.endpoint_id = e.id and d.state = 'delivered')
returning id
