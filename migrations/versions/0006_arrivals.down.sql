-- Takes back 0006. Uploads that broke off stay until their file is added again.

drop policy arriving_of_all on public.videos;
alter table public.webhook_deliveries drop column traceparent;
