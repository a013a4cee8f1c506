-- What search_scenes_hybrid left behind in this transaction.
select
    current_setting('scenebook.search_timing_ms')::jsonb as timing_ms,
    current_setting('scenebook.search_exact')::boolean as exact,
    now() as as_of
