-- Spaces that can be changed under load, and what descriptions need to keep their cost down.

select pg_temp.lock_tables(
    'public.owners', 'public.scenes', 'public.keyframes', 'public.embedding_spaces',
    'public.paid_calls');
alter table public.embedding_spaces
    add column source jsonb not null default '{}' check (jsonb_typeof(source) = 'object'),
    add column activated_at timestamptz,
    add column retired_at timestamptz;
comment on column public.embedding_spaces.source is
    'The settings that load the model, so that a space can be asked that is not configured.';
update public.embedding_spaces set activated_at = created_at where status = 'active';

create table public.space_scenes (
    space_id integer not null references public.embedding_spaces (id) on delete cascade,
    owner_id uuid not null,
    scene_id uuid not null,
    status text not null check (status in (
        'pending', 'ok', 'empty', 'disabled', 'skipped', 'no_audio', 'silent', 'no_frame',
        'unavailable', 'load_error', 'decode_error', 'timeout', 'circuit_open', 'error')),
    error text check (length(error) <= 500),
    metadata jsonb not null default '{}' check (
        jsonb_typeof(metadata) = 'object' and length(metadata::text) <= 65536),
    updated_at timestamptz not null default now(),
    primary key (scene_id, space_id),
    foreign key (owner_id, scene_id) references public.scenes (owner_id, id) on delete cascade
);
create index space_scenes_space_owner_idx on public.space_scenes (space_id, owner_id, status);
comment on table public.space_scenes is
    'Status of one scene in a space that is not active; scene_channels has it for the active one.';

-- Supabase grants everything on new tables to its three roles by default: take that back first.
revoke all on public.space_scenes from public, anon, authenticated, service_role;
grant select on public.space_scenes to authenticated, scenebook_api;
grant select, insert, update, delete on public.space_scenes to service_role, scenebook_worker;
grant delete on public.embedding_spaces to scenebook_worker;

alter table public.space_scenes enable row level security;
alter table public.space_scenes force row level security;
create policy own_rows on public.space_scenes
    to authenticated, scenebook_api, scenebook_worker
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));
create policy dropped_spaces on public.embedding_spaces
    for delete to scenebook_worker
    using (true);

alter table public.paid_calls add column kind text;
comment on column public.paid_calls.kind is 'What was paid for, so that a budget can count it.';
alter table public.keyframes add column perceptual_hash text;
comment on column public.keyframes.perceptual_hash is 'Nearly the same for pictures that look the same.';
