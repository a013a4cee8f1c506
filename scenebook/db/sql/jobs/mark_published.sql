-- Remembers that these jobs were rung for, or takes it back.
update public.jobs set published_at = case when :published then now() end
where id = any(:ids) and state in ('queued', 'retryable')
