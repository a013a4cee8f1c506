update public.embedding_spaces
set status = 'active', activated_at = now(), retired_at = null
where id = :id
