-- Who may do what at all; policies then say on which rows.
-- Supabase grants everything on new tables to its three roles by default: take that back first.

revoke all on
    public.owners, public.videos, public.scenes, public.utterances, public.keyframes,
    public.embedding_spaces, public.scene_channels, public.scene_embeddings, public.jobs,
    public.workers, public.paid_calls, public.scene_sidecars
from public, anon, authenticated, service_role;
revoke all on sequence public.lease_tokens from public, anon, authenticated, service_role;

grant usage on schema public to scenebook_api, scenebook_worker, scenebook_relay;
-- Only for the functions that public ones call; its tables are granted to nobody.
grant usage on schema scenebook to authenticated, service_role, scenebook_api, scenebook_worker;

-- The owner's own session, as a Supabase client opens it: reads.
grant select on
    public.videos, public.scenes, public.utterances, public.keyframes, public.scene_channels,
    public.scene_embeddings, public.embedding_spaces, public.scene_sidecars
to authenticated;

-- Trusted server-side code of the deployment's operator.
grant select, insert, update, delete on
    public.owners, public.videos, public.scenes, public.utterances, public.keyframes,
    public.embedding_spaces, public.scene_channels, public.scene_embeddings, public.jobs,
    public.workers, public.paid_calls
to service_role;
grant select on public.scene_sidecars to service_role;
grant usage on sequence public.lease_tokens to service_role;

-- The API and the command line: register videos, ask for work, read everything of their owner.
grant select, insert, update on public.owners, public.videos to scenebook_api;
grant select, insert, update, delete on public.jobs to scenebook_api;
grant select, update on public.scene_channels to scenebook_api;
-- Queries are embedded by paid models too.
grant select, insert on public.paid_calls to scenebook_api;
grant select on
    public.scenes, public.utterances, public.keyframes, public.scene_embeddings,
    public.embedding_spaces, public.scene_sidecars
to scenebook_api;

-- The workers: write what they find, delete videos that are to go.
grant select, insert, update, delete on
    public.videos, public.scenes, public.utterances, public.keyframes, public.scene_channels,
    public.scene_embeddings, public.jobs, public.workers, public.paid_calls
to scenebook_worker;
grant select, insert, update on public.owners, public.embedding_spaces to scenebook_worker;
grant select on public.scene_sidecars to scenebook_worker;
grant usage on sequence public.lease_tokens to scenebook_worker;

-- The relay: hands out jobs of all owners, and as one owner marks what a dead job leaves behind.
grant select, insert, update on public.jobs to scenebook_relay;
grant select, insert, update, delete on public.workers to scenebook_relay;
grant select (id, max_running, disabled_at) on public.owners to scenebook_relay;
grant select, update on public.videos, public.scene_channels to scenebook_relay;
grant select on public.scenes, public.embedding_spaces to scenebook_relay;
