insert into public.paid_calls (owner_id, key, response)
values (:owner_id, :key, cast(:response as jsonb))
on conflict (owner_id, key) do nothing
