-- Those of a disabled endpoint never finish; they have been due for as long.
delete from public.webhook_deliveries
where id in (
    select id from public.webhook_deliveries
    where coalesce(finished_at, next_at) < now() - make_interval(secs => :older_s)
    limit :limit
)
