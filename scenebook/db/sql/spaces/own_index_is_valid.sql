select i.indisvalid
from pg_catalog.pg_index as i
where i.indexrelid = pg_catalog.to_regclass('public.' || :name)
