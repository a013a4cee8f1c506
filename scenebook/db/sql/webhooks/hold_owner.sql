-- Endpoints of one owner are counted and added one after the other.
select from public.owners where id = :owner_id for no key update
