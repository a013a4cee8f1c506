-- Jobs that were given up, newest first, unless the video was indexed anew since. Deleting belongs
-- to no generation.
select
    j.id, j.owner_id, j.video_id, j.stage, j.attempt, j.crash_count, j.finished_at,
    j.errors -> -1 ->> 'code' as code,
    j.errors -> -1 ->> 'message' as message
from public.jobs as j
where j.state = 'failed'
  and (cast(:id as bigint) is null or j.id = :id)
  and (
      cast(:before_at as timestamptz) is null
      or (j.finished_at, j.id) < (:before_at, cast(:before_id as bigint))
  )
  and (
      j.stage = 'delete'
      or not exists (
          select from public.jobs as later
          where later.video_id = j.video_id and later.generation > j.generation
      )
  )
order by j.finished_at desc, j.id desc
limit :limit
