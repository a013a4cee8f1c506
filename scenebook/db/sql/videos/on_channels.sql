-- The videos whose status says how their channels stand.
select id from public.videos
where owner_id = :owner_id and status in ('ready', 'partial')
order by id
