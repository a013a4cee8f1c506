-- How many keys of this owner still work.
select count(*) as usable
from public.api_keys
where owner_id = :owner_id and revoked_at is null and coalesce(expires_at > now(), true)
