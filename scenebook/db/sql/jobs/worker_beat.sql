-- A worker that drains stays so: null leaves it as it is.
insert into public.workers as w (id, kind, draining, version)
values (:id, :kind, coalesce(cast(:draining as boolean), false), :version)
on conflict (id) do update
set beat_at = now(), draining = coalesce(cast(:draining as boolean), w.draining)
