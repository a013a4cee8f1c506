delete from public.searches
where id in (
    select id from public.searches
    where created_at < now() - make_interval(secs => :older_s)
    order by created_at
    limit :limit
)
