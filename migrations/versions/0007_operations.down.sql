-- Takes back 0007. The role stays, for it belongs to the cluster, and may do nothing here.

drop policy searches_for_operators on public.searches;
drop policy workers_for_operators on public.workers;
drop policy jobs_for_operators on public.jobs;
drop policy spaces_for_operators on public.embedding_spaces;
drop policy states_for_operators on public.space_scenes;
drop policy places_for_operators on public.scene_embeddings;
drop policy states_for_operators on public.scene_channels;
drop policy places_for_operators on public.scenes;
drop policy states_for_operators on public.videos;
drop policy limits_for_operators on public.owners;
revoke all on
    public.owners, public.videos, public.scenes, public.scene_channels, public.scene_embeddings,
    public.space_scenes, public.embedding_spaces, public.jobs, public.workers, public.searches
from scenebook_operator;
revoke usage on schema public from scenebook_operator;
