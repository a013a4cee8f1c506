-- Forgets finished jobs of these stages, so that they can be done anew.
delete from public.jobs
where owner_id = :owner_id and video_id = :video_id and generation = :generation
  and stage = any(:stages)
  and state in ('succeeded', 'failed', 'cancelled')
