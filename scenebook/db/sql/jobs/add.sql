-- Adds one job; the natural key makes a second addition a no-op.
insert into public.jobs (owner_id, video_id, generation, stage, unit, units, priority)
values (:owner_id, :video_id, :generation, :stage, :unit, :units, :priority)
on conflict (video_id, generation, stage, unit) do nothing
