select count(*) from public.jobs where state in ('queued', 'retryable', 'running')
