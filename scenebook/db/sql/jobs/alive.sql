-- Processes that gave a sign of life lately, by kind.
select kind, count(*) as processes
from public.workers
where beat_at > now() - make_interval(secs => :silent_s)
group by kind
