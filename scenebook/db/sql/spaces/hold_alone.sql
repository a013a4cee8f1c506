-- See hold.sql.
select pg_advisory_xact_lock(hashtextextended('scenebook.spaces.' || :channel, 0))
