select id from public.owners order by id
