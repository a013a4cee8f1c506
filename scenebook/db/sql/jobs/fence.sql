-- Locks the job if this token still holds it. No row: the job is lost, write nothing.
select crash_count, cancel_requested, extract(epoch from now() - created_at) as age_s
from public.jobs
where id = :id and lease_token = :token and state = 'running'
for update
