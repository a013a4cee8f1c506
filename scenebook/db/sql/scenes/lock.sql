-- In one order, so that two writers of the same scenes wait for each other and not both.
select id from public.scenes
where owner_id = :owner_id and id = any(:ids)
order by id
for no key update
