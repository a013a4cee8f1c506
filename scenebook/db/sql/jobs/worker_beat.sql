insert into public.workers (id, kind, draining, version) values (:id, :kind, :draining, :version)
on conflict (id) do update set beat_at = now(), draining = excluded.draining
