select coalesce(max(generation), 0) as generation from public.jobs
where owner_id = :owner_id and video_id = :video_id and stage <> 'delete'
