insert into public.searches (owner_id, took_ms, timing_ms, degraded, hits)
select :owner_id, r.took_ms, r.timing_ms, r.degraded, r.hits
from jsonb_to_recordset(cast(:rows as jsonb))
    as r (took_ms double precision, timing_ms jsonb, degraded text[], hits integer)
-- Whose row is gone meanwhile, nobody asks for the log.
where exists (select from public.owners as o where o.id = :owner_id)
