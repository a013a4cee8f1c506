-- Ends what has not started and asks what runs to stop.
update public.jobs
set cancel_requested = true,
    state = case when state = 'running' then state else 'cancelled' end,
    finished_at = case when state = 'running' then null else now() end
where owner_id = :owner_id
  and video_id = :video_id
  and stage <> 'delete'
  and state in ('queued', 'retryable', 'running')
  and (cast(:generation as integer) is null or generation = :generation)
  and id <> :except_id
