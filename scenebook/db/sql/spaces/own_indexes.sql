select c.relname as name
from pg_catalog.pg_index as i
join pg_catalog.pg_class as c on c.oid = i.indexrelid
where i.indrelid = 'public.scene_embeddings'::regclass
  and pg_catalog.starts_with(c.relname, 'owner_hnsw_' || cast(:space_id as integer) || '_')
order by c.relname
