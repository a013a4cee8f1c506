-- Processes that were alive within a day, and how long ago each said so.
select id, kind, draining, version, extract(epoch from now() - beat_at) as silent_s
from public.workers
order by kind, beat_at desc
