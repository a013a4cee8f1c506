-- Searches of all owners, newest first; what was looked for is not kept.
select id, owner_id, created_at, took_ms, timing_ms, degraded, hits
from public.searches
where cast(:before_at as timestamptz) is null
   or (created_at, id) < (:before_at, cast(:before_id as uuid))
order by created_at desc, id desc
limit :limit
