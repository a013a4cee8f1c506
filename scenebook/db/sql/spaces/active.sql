select id, channel, model, weights, revision, dimensions from public.embedding_spaces
where channel = :channel and status = 'active'
