insert into public.owners (id) values (:owner_id) on conflict (id) do nothing
