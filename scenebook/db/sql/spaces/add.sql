-- The first space of a channel is active; a later one is built beside it.
insert into public.embedding_spaces (channel, model, weights, revision, dimensions, status)
values (:channel, :model, :weights, :revision, :dimensions,
        case when exists (select from public.embedding_spaces
                          where channel = :channel and status = 'active')
             then 'building' else 'active' end)
on conflict do nothing
