-- Shared with other writers. Unlike a row lock it queues fairly, and works before the first space.
select pg_advisory_xact_lock_shared(hashtextextended('scenebook.spaces.' || :channel, 0))
