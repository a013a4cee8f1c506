-- Locks the job if this token still holds it. No row: the job is lost, write nothing.
select crash_count, cancel_requested from public.jobs
where id = :id and lease_token = :token and state = 'running'
for update
