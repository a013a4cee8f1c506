-- The limits of an owner, locked: whoever adds to what the owner has comes one after the other.
select max_bytes, max_videos from public.owners where id = :owner_id for no key update
