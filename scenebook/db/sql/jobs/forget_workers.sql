delete from public.workers where beat_at < now() - interval '1 day'
