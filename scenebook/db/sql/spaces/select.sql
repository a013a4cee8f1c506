select id, channel, model, weights, revision, dimensions, status, source, created_at, activated_at,
       retired_at, calibration
from public.embedding_spaces
where (cast(:channel as text) is null or channel = :channel)
  and (cast(:id as integer) is null or id = :id)
order by channel, id
