select id, channel, model, weights, revision, dimensions, status, source, created_at, activated_at,
       retired_at, calibration
from public.embedding_spaces
where channel = :channel and model = :model and weights = :weights and revision = :revision
  and dimensions = :dimensions
