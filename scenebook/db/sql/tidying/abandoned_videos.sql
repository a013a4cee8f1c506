-- Of all owners: their sources were on their way, and nobody has gone on for some time.
select owner_id, id from public.videos
where status = 'uploading' and updated_at < now() - make_interval(secs => :older_s)
order by updated_at
limit :limit
