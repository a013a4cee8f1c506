-- The first space of a channel is active; a later one is built beside it.
insert into public.embedding_spaces
    (channel, model, weights, revision, dimensions, source, status, activated_at)
select :channel, :model, :weights, :revision, :dimensions, cast(:source as jsonb),
       case when other.active then 'building' else 'active' end,
       case when other.active then null else now() end
from (select exists (select from public.embedding_spaces
                     where channel = :channel and status = 'active') as active) as other
on conflict do nothing
