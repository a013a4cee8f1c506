-- The history that the database itself keeps: triggers see every write, whoever made it.
create schema chaos;

create table chaos.job_states (
    place bigint generated always as identity primary key,
    at timestamptz not null default clock_timestamp(),
    job_id bigint not null,
    owner_id uuid not null,
    video_id uuid not null,
    old_state text,
    state text not null,
    token bigint,
    attempt int not null,
    crash_count int not null
);

create table chaos.scene_writes (
    place bigint generated always as identity primary key,
    owner_id uuid not null,
    video_id uuid not null,
    token bigint not null
);

create table chaos.strangers (
    relation text not null,
    row_owner uuid,
    writer uuid
);

create function chaos.note_job() returns trigger language plpgsql security definer set search_path = '' as $$
begin
    if tg_op = 'INSERT' or new.state is distinct from old.state
       or new.lease_token is distinct from old.lease_token then
        insert into chaos.job_states
            (job_id, owner_id, video_id, old_state, state, token, attempt, crash_count)
        values (new.id, new.owner_id, new.video_id,
                case when tg_op = 'UPDATE' then old.state end,
                new.state, new.lease_token, new.attempt, new.crash_count);
    end if;
    return null;
end $$;

create function chaos.note_scene() returns trigger language plpgsql security definer set search_path = '' as $$
begin
    insert into chaos.scene_writes (owner_id, video_id, token)
    values (new.owner_id, new.video_id, new.lease_token);
    return null;
end $$;

create function chaos.note_writer() returns trigger language plpgsql security definer set search_path = '' as $$
begin
    if auth.uid() is distinct from new.owner_id then
        insert into chaos.strangers values (tg_table_name, new.owner_id, auth.uid());
    end if;
    return null;
end $$;

create trigger chaos_jobs after insert or update on public.jobs
    for each row execute function chaos.note_job();
create trigger chaos_scenes after insert or update of lease_token on public.scenes
    for each row execute function chaos.note_scene();

do $$
declare
    relation text;
begin
    foreach relation in array array['videos', 'scenes', 'utterances', 'keyframes', 'scene_channels',
                                    'scene_embeddings', 'paid_calls', 'video_words'] loop
        execute format('create trigger chaos_writer after insert or update on public.%I'
                       ' for each row execute function chaos.note_writer()', relation);
    end loop;
end $$;
