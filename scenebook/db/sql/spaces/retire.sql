update public.embedding_spaces set status = 'retired', retired_at = now() where id = :id
