-- Adds one job; the natural key makes a second addition a no-op. Its trace goes on from the job
-- that was there before, unless somebody asks for it now.
insert into public.jobs (owner_id, video_id, generation, stage, unit, units, priority, traceparent)
values (
    :owner_id, :video_id, :generation, :stage, :unit, :units, :priority,
    coalesce(cast(:traceparent as text), (
        select before.traceparent from public.jobs as before
        where before.owner_id = :owner_id and before.video_id = :video_id
        order by before.id desc
        limit 1)))
on conflict (video_id, generation, stage, unit) do nothing
