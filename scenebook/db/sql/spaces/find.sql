select id, status from public.embedding_spaces
where channel = :channel and model = :model and weights = :weights and revision = :revision
  and dimensions = :dimensions
