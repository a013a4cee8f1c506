-- Jobs whose worker fell silent.
select id, owner_id, video_id from public.jobs
where state = 'running' and lease_until < now()
order by lease_until
limit 100
