update public.embedding_spaces set source = cast(:source as jsonb) where id = :id
