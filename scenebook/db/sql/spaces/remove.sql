delete from public.embedding_spaces where id = :id and status <> 'active'
