-- Operators look at the work of all owners: a role that reads it, and nobody's content.

select pg_temp.lock_tables(
    'public.owners', 'public.videos', 'public.scenes', 'public.embedding_spaces',
    'public.scene_channels', 'public.scene_embeddings', 'public.space_scenes', 'public.jobs',
    'public.workers', 'public.searches');

-- It reads, column by column: ids, states, times and counts. Of titles, words, pictures, file names,
-- metadata and vectors it is granted nothing, whatever a statement asks for. What a job's error says
-- may be about content: scenebook.operations passes its code on.
grant usage on schema public to scenebook_operator;
grant select (id, max_running, disabled_at) on public.owners to scenebook_operator;
grant select (id, owner_id, status, generation) on public.videos to scenebook_operator;
grant select (id, owner_id, video_id, generation) on public.scenes to scenebook_operator;
grant select (owner_id, scene_id, channel, status) on public.scene_channels to scenebook_operator;
grant select (space_id, owner_id, scene_id, ordinal) on public.scene_embeddings
to scenebook_operator;
grant select (space_id, owner_id, scene_id, status) on public.space_scenes to scenebook_operator;
grant select on
    public.embedding_spaces, public.jobs, public.workers, public.searches
to scenebook_operator;

create policy limits_for_operators on public.owners
    for select to scenebook_operator using (true);
create policy states_for_operators on public.videos
    for select to scenebook_operator using (true);
create policy places_for_operators on public.scenes
    for select to scenebook_operator using (true);
create policy states_for_operators on public.scene_channels
    for select to scenebook_operator using (true);
create policy places_for_operators on public.scene_embeddings
    for select to scenebook_operator using (true);
create policy states_for_operators on public.space_scenes
    for select to scenebook_operator using (true);
create policy spaces_for_operators on public.embedding_spaces
    for select to scenebook_operator using (true);
create policy jobs_for_operators on public.jobs
    for select to scenebook_operator using (true);
create policy workers_for_operators on public.workers
    for select to scenebook_operator using (true);
create policy searches_for_operators on public.searches
    for select to scenebook_operator using (true);
