-- What is null stays; an endpoint that is enabled again starts without a reason.
update public.webhook_endpoints as e
set url = coalesce(cast(:url as text), e.url),
    events = coalesce(cast(:events as text[]), e.events),
    disabled_at = case
        when cast(:enabled as boolean) is null then e.disabled_at
        when not :enabled then coalesce(e.disabled_at, now())
    end,
    disabled_reason = case
        when cast(:enabled as boolean) is null then e.disabled_reason
        when not :enabled then coalesce(e.disabled_reason, :reason)
    end
where e.owner_id = :owner_id and e.id = :endpoint_id
