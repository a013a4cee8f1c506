-- What the HTTP service stands on: keys, replays, resumable uploads, webhooks, a log of searches.

select pg_temp.lock_tables(
    'public.owners', 'public.videos', 'public.scenes', 'public.scene_embeddings', 'public.jobs');
alter table public.videos
    alter column content_hash drop not null,    -- null while a URL is being fetched
    add column source_url text check (length(source_url) <= 2000),
    add column language text check (language ~ '^[a-z_]{2,30}$');
comment on column public.videos.source_url is 'Where the source was imported from.';
comment on column public.videos.language is
    'Text search configuration of its words, as english; null: words as they are.';

alter table public.jobs drop constraint jobs_stage_check;
alter table public.jobs add constraint jobs_stage_check check (stage in (
    'fetch', 'probe', 'segment', 'transcribe', 'visual_clip', 'describe', 'embed_text', 'finalize',
    'delete')) not valid;
alter table public.jobs validate constraint jobs_stage_check;

-- Pages of one search leave out what came after the first of them.
alter table public.scenes add column created_at timestamptz not null default now();
alter table public.scene_embeddings add column created_at timestamptz not null default now();

create table public.api_keys (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null references public.owners (id) on delete cascade,
    name text not null check (length(name) between 1 and 100),
    prefix text not null check (length(prefix) between 4 and 20),   -- shown, to tell keys apart
    secret_hash text not null unique check (secret_hash ~ '^[0-9a-f]{64}$'),
    scopes text[] not null check (
        cardinality(scopes) > 0 and scopes <@ array['read', 'write', 'admin']),
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
create index api_keys_owner_idx on public.api_keys (owner_id, created_at);
comment on table public.api_keys is 'Keys of owners; only the SHA-256 of a secret is kept.';

create table public.idempotency_keys (
    owner_id uuid not null references public.owners (id) on delete cascade,
    key text not null check (length(key) between 1 and 200),
    request_hash text not null,             -- sha256 of method, path and body
    status integer check (status between 200 and 599),  -- null while the first request runs
    response jsonb,
    locked_until timestamptz not null,
    created_at timestamptz not null default now(),
    primary key (owner_id, key),
    check ((status is null) = (response is null))
);
create index idempotency_keys_created_idx on public.idempotency_keys (created_at);
comment on table public.idempotency_keys is 'Answers to requests that a client may send again.';

create table public.uploads (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null references public.owners (id) on delete cascade,
    bytes bigint not null check (bytes > 0),
    received bigint not null default 0 check (received between 0 and bytes),
    writer integer not null default 0,      -- the request that may add to it is the newest
    metadata jsonb not null default '{}' check (
        jsonb_typeof(metadata) = 'object' and length(metadata::text) <= 16384),
    video_id uuid,                          -- once it is complete
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    foreign key (owner_id, video_id) references public.videos (owner_id, id) on delete cascade
);
create index uploads_owner_idx on public.uploads (owner_id, expires_at);
create index uploads_owner_video_idx on public.uploads (owner_id, video_id);
comment on table public.uploads is 'Resumable uploads; their parts lie in the storage.';

create table public.webhook_endpoints (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null references public.owners (id) on delete cascade,
    url text not null check (length(url) between 8 and 2000),
    secret text not null,                   -- whsec_…, needed as it is to sign
    previous_secret text,                   -- signs too until the rotation ends
    rotated_at timestamptz,
    events text[] not null check (
        cardinality(events) > 0
        and events <@ array['video.ready', 'video.partial', 'video.failed']),
    disabled_at timestamptz,
    disabled_reason text,
    created_at timestamptz not null default now(),
    unique (owner_id, id)
);
comment on table public.webhook_endpoints is 'Where an owner wants to be told of settled videos.';

create table public.webhook_deliveries (
    id uuid primary key default gen_random_uuid(),  -- the webhook-id, the same in every attempt
    owner_id uuid not null,
    endpoint_id uuid not null,
    event text not null,
    payload jsonb not null,
    state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
    attempt integer not null default 0,
    next_at timestamptz not null default now(),
    response_status integer,
    error text check (length(error) <= 500),
    created_at timestamptz not null default now(),
    finished_at timestamptz,
    foreign key (owner_id, endpoint_id)
        references public.webhook_endpoints (owner_id, id) on delete cascade,
    check ((state = 'pending') = (finished_at is null))
);
create index webhook_deliveries_due_idx on public.webhook_deliveries (next_at)
    where state = 'pending';
create index webhook_deliveries_endpoint_idx
    on public.webhook_deliveries (owner_id, endpoint_id, created_at desc);
comment on table public.webhook_deliveries is 'Outbox and log of webhooks; kept 30 days.';

create table public.searches (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null references public.owners (id) on delete cascade,
    took_ms double precision not null,
    timing_ms jsonb not null default '{}',  -- by channel
    degraded text[] not null default '{}',
    hits integer not null,
    created_at timestamptz not null default now()
);
create index searches_owner_created_idx on public.searches (owner_id, created_at);
create index searches_created_idx on public.searches (created_at);
comment on table public.searches is 'How long searches took and what was missing; kept 30 days.';

-- Supabase grants everything on new tables to its three roles by default: take that back first.
revoke all on
    public.api_keys, public.idempotency_keys, public.uploads, public.webhook_endpoints,
    public.webhook_deliveries, public.searches
from public, anon, authenticated, service_role;
grant select, insert, update, delete on
    public.api_keys, public.idempotency_keys, public.uploads, public.webhook_endpoints,
    public.webhook_deliveries, public.searches
to service_role;
grant select, insert, update, delete on
    public.api_keys, public.idempotency_keys, public.uploads, public.webhook_endpoints
to scenebook_api;
grant select, insert, update on public.webhook_deliveries to scenebook_api;
grant select, insert on public.searches to scenebook_api;
-- Whoever settles a video queues the webhooks.
grant select on public.webhook_endpoints to scenebook_worker, scenebook_relay;
grant insert on public.webhook_deliveries to scenebook_worker;
-- Uploads that have begun count against an owner's limits.
grant select on public.uploads to scenebook_worker;
-- The relay delivers them, and tidies up what has expired.
grant update (disabled_at, disabled_reason) on public.webhook_endpoints to scenebook_relay;
grant select, insert, update, delete on public.webhook_deliveries to scenebook_relay;
grant select, delete on
    public.idempotency_keys, public.uploads, public.searches to scenebook_relay;
-- The API answers RPC as the owner's own role.
do $$
begin
    if not pg_has_role(current_user, 'authenticated', case
            when current_setting('server_version_num')::integer >= 160000 then 'set'
            else 'member' end) then
        execute format('grant authenticated to %I', current_user);
    end if;
end;
$$;

alter table public.api_keys enable row level security;
alter table public.api_keys force row level security;
create policy own_rows on public.api_keys
    to scenebook_api
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));
-- Whoever presents a key is not known before the key is found: its hash shows its own row only.
create policy presented_key on public.api_keys
    for select to scenebook_api
    using (secret_hash = (select current_setting('scenebook.presented_key', true)));

alter table public.idempotency_keys enable row level security;
alter table public.idempotency_keys force row level security;
create policy own_rows on public.idempotency_keys
    to scenebook_api
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));
create policy expired_of_all on public.idempotency_keys
    to scenebook_relay
    using (true)
    with check (true);

alter table public.uploads enable row level security;
alter table public.uploads force row level security;
create policy own_rows on public.uploads
    to scenebook_api, scenebook_worker
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));
create policy expired_of_all on public.uploads
    to scenebook_relay
    using (true)
    with check (true);

alter table public.webhook_endpoints enable row level security;
alter table public.webhook_endpoints force row level security;
create policy own_rows on public.webhook_endpoints
    to scenebook_api, scenebook_worker
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));
create policy endpoints_of_all on public.webhook_endpoints
    to scenebook_relay
    using (true)
    with check (true);

alter table public.webhook_deliveries enable row level security;
alter table public.webhook_deliveries force row level security;
create policy own_rows on public.webhook_deliveries
    to scenebook_api, scenebook_worker
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));
create policy deliveries_of_all on public.webhook_deliveries
    to scenebook_relay
    using (true)
    with check (true);

alter table public.searches enable row level security;
alter table public.searches force row level security;
create policy own_rows on public.searches
    to scenebook_api
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));
create policy searches_of_all on public.searches
    to scenebook_relay
    using (true)
    with check (true);
