-- A page of videos that are settled, with the objects that readers and a new indexing need.
select
    v.id,
    v.title,
    v.status,
    v.generation,
    v.failed_stage,
    v.reason,
    v.source_key,
    v.transcript_key,
    v.audio_key,
    array(
        select k.image_key
        from public.scenes as s
        join public.keyframes as k on k.owner_id = :owner_id and k.scene_id = s.id
        where s.owner_id = :owner_id and s.video_id = v.id and s.generation = v.generation
    ) as image_keys
from public.videos as v
where v.owner_id = :owner_id
  and v.id > :after
  and v.status in ('ready', 'partial')
  and not exists (
        select from public.jobs as j
        where j.owner_id = :owner_id and j.video_id = v.id
          and j.state in ('queued', 'retryable', 'running')
  )
order by v.id
limit :limit
