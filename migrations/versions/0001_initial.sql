-- Tables, constraints and indexes. Roles, policies and functions follow in files of their own.

create table public.owners (
    id uuid primary key,
    max_running integer not null default 4 check (max_running > 0),
    max_bytes bigint check (max_bytes >= 0),
    max_videos integer check (max_videos >= 0),
    clip_enabled boolean,                   -- null: the setting CLIP_ENABLED decides
    disabled_at timestamptz,
    created_at timestamptz not null default now()
);
comment on table public.owners is 'Whose videos these are, and the limits on them.';

create table public.videos (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null references public.owners (id) on delete cascade,
    title text not null check (length(title) between 1 and 500),
    source_key text not null,
    transcript_key text,                    -- an uploaded .vtt or .srt
    audio_key text,                         -- 16 kHz mono FLAC written by segmentation
    content_hash text not null,             -- sha256 of the source, hexadecimal
    bytes bigint not null check (bytes >= 0),
    status text not null default 'waiting' check (status in (
        'uploading', 'waiting', 'processing', 'ready', 'partial', 'failed', 'cancelled', 'deleting')),
    failed_stage text,
    reason text,
    generation integer not null default 1,  -- the one that readers see
    duration_ms bigint check (duration_ms >= 0),
    decoded_ms bigint check (decoded_ms >= 0),
    fps double precision,
    width integer,
    height integer,
    rotation integer,
    video_codec text,
    audio_codec text,
    has_audio boolean,
    audio_silent boolean,
    damage text,                            -- why decoding was incomplete
    metadata jsonb not null default '{}' check (
        jsonb_typeof(metadata) = 'object' and length(metadata::text) <= 65536),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    unique (owner_id, id)
);
create unique index videos_owner_content_hash_key on public.videos (owner_id, content_hash)
    where status <> 'deleting';
create index videos_owner_created_at_idx on public.videos (owner_id, created_at desc, id);
comment on table public.videos is 'One uploaded file and what is known of it.';

create table public.scenes (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    video_id uuid not null,
    generation integer not null,
    scene_index integer not null check (scene_index >= 0),
    start_ms bigint not null check (start_ms >= 0),
    end_ms bigint not null check (end_ms > start_ms),
    transcript text,
    description text,
    summary text,
    tags text[] not null default '{}',
    sidecar jsonb not null default '{}' check (jsonb_typeof(sidecar) = 'object'),
    -- 'simple' does not depend on the session's configuration, which a generated column may not.
    search_text tsvector not null generated always as (
        to_tsvector('simple', coalesce(transcript, '') || ' ' || coalesce(description, '')
            || ' ' || coalesce(summary, ''))
    ) stored,
    lease_token bigint not null,            -- of the job that wrote the row last
    foreign key (owner_id, video_id) references public.videos (owner_id, id) on delete cascade,
    unique (video_id, generation, scene_index),
    unique (owner_id, id)
);
create index scenes_owner_video_idx on public.scenes (owner_id, video_id, generation, scene_index);
create index scenes_search_text_gin on public.scenes using gin (search_text);
comment on table public.scenes is 'A half-open interval of one video with its sidecar.';

create table public.utterances (
    owner_id uuid not null,
    video_id uuid not null,
    generation integer not null,
    ordinal integer not null,
    scene_id uuid,
    start_ms bigint not null,
    end_ms bigint not null check (end_ms >= start_ms),
    text text not null check (text <> ''),
    speaker text,
    source text not null check (source in ('subtitles', 'whisper', 'api')),
    primary key (video_id, generation, ordinal),
    foreign key (owner_id, video_id) references public.videos (owner_id, id) on delete cascade,
    foreign key (owner_id, scene_id) references public.scenes (owner_id, id) on delete cascade
);
create index utterances_owner_video_idx on public.utterances (owner_id, video_id);
create index utterances_owner_scene_idx on public.utterances (owner_id, scene_id);
comment on table public.utterances is 'One timed line of speech.';

create table public.keyframes (
    id uuid primary key default gen_random_uuid(),
    owner_id uuid not null,
    scene_id uuid not null,
    at_ms bigint not null check (at_ms >= 0),
    rank integer not null check (rank >= 0),            -- 0 is the best frame
    quality jsonb not null check (jsonb_typeof(quality) = 'object'),
    image_key text not null,
    image_hash text not null,
    foreign key (owner_id, scene_id) references public.scenes (owner_id, id) on delete cascade,
    unique (scene_id, rank)
);
create index keyframes_owner_scene_idx on public.keyframes (owner_id, scene_id);
comment on table public.keyframes is 'A stored picture standing for a scene.';

create table public.embedding_spaces (
    id integer generated always as identity primary key,
    channel text not null check (channel in ('visual_clip', 'transcript', 'visual', 'summary')),
    model text not null,
    weights text not null,
    revision text not null,
    dimensions integer not null check (dimensions between 1 and 4000),
    status text not null default 'active' check (status in ('building', 'active', 'retired')),
    calibration jsonb not null default '{}',
    created_at timestamptz not null default now(),
    unique (channel, model, weights, revision, dimensions),
    unique (id, dimensions)
);
create unique index embedding_spaces_one_active on public.embedding_spaces (channel)
    where status = 'active';
comment on table public.embedding_spaces is 'Vectors compare only within one space.';

create table public.scene_channels (
    owner_id uuid not null,
    scene_id uuid not null,
    channel text not null check (channel in ('visual_clip', 'transcript', 'visual', 'summary')),
    status text not null default 'pending' check (status in (
        'pending', 'ok', 'empty', 'disabled', 'skipped', 'no_audio', 'silent', 'no_frame',
        'unavailable', 'load_error', 'decode_error', 'timeout', 'circuit_open', 'error')),
    error text check (length(error) <= 500),
    metadata jsonb not null default '{}' check (
        jsonb_typeof(metadata) = 'object' and length(metadata::text) <= 65536),
    updated_at timestamptz not null default now(),
    primary key (scene_id, channel),
    foreign key (owner_id, scene_id) references public.scenes (owner_id, id) on delete cascade
);
create index scene_channels_owner_idx on public.scene_channels (owner_id, channel, status);
comment on table public.scene_channels is 'Status of one channel of one scene, and why.';

-- Narrow and inline: out-of-line vectors make an exact scan several times slower.
create table public.scene_embeddings (
    space_id integer not null,
    owner_id uuid not null,
    video_id uuid not null,
    scene_id uuid not null,
    generation integer not null,
    ordinal integer not null default 0 check (ordinal >= 0),
    at_ms bigint,                           -- of the keyframe or utterance that the vector stands for
    embedding public.halfvec not null check (
        public.l2_norm(embedding) between 0.99 and 1.01),
    -- Lets the foreign key refuse a vector that does not fit its space.
    dimensions integer not null generated always as (public.vector_dims(embedding)) stored,
    primary key (space_id, owner_id, scene_id, ordinal),
    foreign key (space_id, dimensions) references public.embedding_spaces (id, dimensions),
    foreign key (owner_id, scene_id) references public.scenes (owner_id, id) on delete cascade
);
alter table public.scene_embeddings alter column embedding set storage plain;
create index scene_embeddings_scene_idx on public.scene_embeddings (scene_id);
create index scene_embeddings_video_idx on public.scene_embeddings (space_id, owner_id, video_id);
comment on table public.scene_embeddings is 'Only vectors that are ok; several per scene.';

create sequence public.lease_tokens;        -- fencing tokens, never used twice

create table public.jobs (
    id bigint generated always as identity primary key,
    owner_id uuid not null,
    video_id uuid not null,
    generation integer not null,
    stage text not null check (stage in (
        'probe', 'segment', 'transcribe', 'visual_clip', 'describe', 'embed_text', 'finalize',
        'delete')),
    unit integer not null default 0,        -- batch number of a stage that works in batches
    units integer not null default 1,
    state text not null default 'queued' check (state in (
        'queued', 'running', 'retryable', 'succeeded', 'failed', 'cancelled')),
    priority smallint not null default 2,
    attempt smallint not null default 0,
    crash_count smallint not null default 0, -- expired leases, apart from clean errors
    run_at timestamptz not null default now(),
    deadline_at timestamptz,
    lease_token bigint,
    lease_owner text,
    lease_until timestamptz,
    progress bigint not null default 0,
    total bigint,
    published_at timestamptz,
    cancel_requested boolean not null default false,
    errors jsonb not null default '[]',
    traceparent text,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    foreign key (owner_id, video_id) references public.videos (owner_id, id) on delete cascade,
    unique (video_id, generation, stage, unit),
    check ((state in ('succeeded', 'failed', 'cancelled')) = (finished_at is not null)),
    check ((state = 'running') = (lease_until is not null))
);
create index jobs_due_idx on public.jobs (priority, run_at, id) where state in ('queued', 'retryable');
create index jobs_lease_idx on public.jobs (lease_until) where state = 'running';
create index jobs_owner_running_idx on public.jobs (owner_id) where state = 'running';
create index jobs_owner_video_idx on public.jobs (owner_id, video_id);
comment on table public.jobs is 'The to-do list: one row of work each, claimed under a lease.';

create table public.workers (
    id text primary key,
    kind text not null check (kind in ('worker', 'relay')),
    started_at timestamptz not null default now(),
    beat_at timestamptz not null default now(),
    draining boolean not null default false,
    version text
);
comment on table public.workers is 'Processes that are alive.';

create table public.paid_calls (
    owner_id uuid not null references public.owners (id) on delete cascade,
    key text not null,                      -- sha256 of model, prompt and content
    response jsonb not null,
    created_at timestamptz not null default now(),
    primary key (owner_id, key)
);
comment on table public.paid_calls is 'Responses of paid models, so that a re-run does not pay twice.';

create view public.scene_sidecars with (security_invoker = true) as
select
    s.id,
    s.owner_id,
    s.video_id,
    s.generation,
    s.scene_index,
    s.start_ms,
    s.end_ms,
    s.transcript,
    s.description,
    s.summary,
    s.tags,
    s.sidecar,
    (
        select e.embedding
        from public.scene_embeddings as e
        join public.embedding_spaces as p on p.id = e.space_id
        where e.owner_id = s.owner_id and e.scene_id = s.id and e.ordinal = 0
          and p.channel = 'transcript' and p.status = 'active'
    ) as embedding_transcript,
    (
        select e.embedding
        from public.scene_embeddings as e
        join public.embedding_spaces as p on p.id = e.space_id
        where e.owner_id = s.owner_id and e.scene_id = s.id and e.ordinal = 0
          and p.channel = 'visual' and p.status = 'active'
    ) as embedding_visual,
    (
        select e.embedding
        from public.scene_embeddings as e
        join public.embedding_spaces as p on p.id = e.space_id
        where e.owner_id = s.owner_id and e.scene_id = s.id and e.ordinal = 0
          and p.channel = 'summary' and p.status = 'active'
    ) as embedding_summary,
    (
        select e.embedding
        from public.scene_embeddings as e
        join public.embedding_spaces as p on p.id = e.space_id
        where e.owner_id = s.owner_id and e.scene_id = s.id and e.ordinal = 0
          and p.channel = 'visual_clip' and p.status = 'active'
    ) as embedding_visual_clip,
    (
        select c.metadata
        from public.scene_channels as c
        where c.owner_id = s.owner_id and c.scene_id = s.id and c.channel = 'visual_clip'
    ) as visual_clip_metadata
from public.scenes as s
join public.videos as v
    on v.owner_id = s.owner_id and v.id = s.video_id and v.generation = s.generation
where v.status <> 'deleting';
comment on view public.scene_sidecars is 'One row a scene, with the first vector of each channel.';
