-- Row-level security on every table, forced, so that it binds the tables' owner too.
-- `(select auth.uid())` is computed once a statement; a bare `auth.uid()` would be once a row.

alter table public.owners enable row level security;
alter table public.owners force row level security;
create policy own_row on public.owners
    to scenebook_api, scenebook_worker
    using (id = (select auth.uid()))
    with check (id = (select auth.uid()));
create policy limits_of_all on public.owners
    for select to scenebook_relay
    using (true);

alter table public.videos enable row level security;
alter table public.videos force row level security;
create policy own_rows on public.videos
    to authenticated, scenebook_api, scenebook_worker, scenebook_relay
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));

alter table public.scenes enable row level security;
alter table public.scenes force row level security;
create policy own_rows on public.scenes
    to authenticated, scenebook_api, scenebook_worker, scenebook_relay
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));

alter table public.utterances enable row level security;
alter table public.utterances force row level security;
create policy own_rows on public.utterances
    to authenticated, scenebook_api, scenebook_worker
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));

alter table public.keyframes enable row level security;
alter table public.keyframes force row level security;
create policy own_rows on public.keyframes
    to authenticated, scenebook_api, scenebook_worker
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));

alter table public.scene_channels enable row level security;
alter table public.scene_channels force row level security;
create policy own_rows on public.scene_channels
    to authenticated, scenebook_api, scenebook_worker, scenebook_relay
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));

alter table public.scene_embeddings enable row level security;
alter table public.scene_embeddings force row level security;
create policy own_rows on public.scene_embeddings
    to authenticated, scenebook_api, scenebook_worker
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));

alter table public.paid_calls enable row level security;
alter table public.paid_calls force row level security;
create policy own_rows on public.paid_calls
    to scenebook_api, scenebook_worker
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));

-- Models are the deployment's, not an owner's.
alter table public.embedding_spaces enable row level security;
alter table public.embedding_spaces force row level security;
create policy spaces_of_all on public.embedding_spaces
    for select to authenticated, scenebook_api, scenebook_worker, scenebook_relay
    using (true);
create policy new_spaces on public.embedding_spaces
    for insert to scenebook_worker
    with check (true);
create policy changed_spaces on public.embedding_spaces
    for update to scenebook_worker
    using (true)
    with check (true);

-- The to-do list is infrastructure: whoever works on it does not know the owner beforehand.
alter table public.jobs enable row level security;
alter table public.jobs force row level security;
create policy own_rows on public.jobs
    to scenebook_api
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));
create policy jobs_of_all on public.jobs
    to scenebook_worker, scenebook_relay
    using (true)
    with check (true);

alter table public.workers enable row level security;
alter table public.workers force row level security;
create policy workers_of_all on public.workers
    to scenebook_worker, scenebook_relay
    using (true)
    with check (true);
