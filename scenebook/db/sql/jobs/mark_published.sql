update public.jobs set published_at = now() where id = any(:ids)
