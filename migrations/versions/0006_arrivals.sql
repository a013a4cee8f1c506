-- What is on its way: uploads that broke off can be found, and webhooks carry their trace.

select pg_temp.lock_tables('public.videos', 'public.webhook_deliveries');

-- W3C trace context of whatever led to the news; jobs have theirs already.
alter table public.webhook_deliveries add column traceparent text;

-- The relay removes what nobody went on with: of other owners' videos it sees these only.
create policy arriving_of_all on public.videos
    for select to scenebook_relay
    using (status = 'uploading');
