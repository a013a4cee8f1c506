insert into public.paid_calls (owner_id, key, response, kind)
values (:owner_id, :key, cast(:response as jsonb), :kind)
on conflict (owner_id, key) do nothing
