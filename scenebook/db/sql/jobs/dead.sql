-- Jobs that were given up, by stage.
select stage, count(*) as jobs
from public.jobs
where state = 'failed'
group by stage
