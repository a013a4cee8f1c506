select disabled_at is not null as disabled from public.owners where id = :owner_id
