-- Takes back 0004. Videos whose URL was never fetched go, for the release before cannot hold them.

drop table public.searches;
drop table public.webhook_deliveries;
drop table public.webhook_endpoints;
drop table public.uploads;
drop table public.idempotency_keys;
drop table public.api_keys;
alter table public.scene_embeddings drop column created_at;
alter table public.scenes drop column created_at;
delete from public.jobs where stage = 'fetch';
alter table public.jobs drop constraint jobs_stage_check;
alter table public.jobs add constraint jobs_stage_check check (stage in (
    'probe', 'segment', 'transcribe', 'visual_clip', 'describe', 'embed_text', 'finalize',
    'delete'));
delete from public.videos where content_hash is null;
alter table public.videos
    alter column content_hash set not null,
    drop column source_url,
    drop column language;
