-- The generation that was worked on last: its jobs are the newest rows.
select generation from public.jobs
where owner_id = :owner_id and video_id = :video_id and stage <> 'delete'
order by id desc
limit 1
