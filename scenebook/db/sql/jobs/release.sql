-- Leaves `running`: for a later try (queued, retryable) or for good (failed, cancelled).
update public.jobs
set state = :state,
    lease_until = null,
    published_at = null,
    attempt = attempt - :attempts_back,
    crash_count = crash_count + :crashes,
    run_at = now() + make_interval(secs => :delay_s),
    finished_at = case when :state in ('failed', 'cancelled') then now() end,
    errors = case
        when cast(:error as jsonb) is null then errors
        else jsonb_path_query_array(errors, '$[last - 8 to last]') || cast(:error as jsonb)
    end
where id = :id
