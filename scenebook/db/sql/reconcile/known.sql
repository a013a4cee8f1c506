-- Videos among these ids, whether somebody is at work on them, and every object that their rows name.
select
    v.id,
    v.status in ('uploading', 'deleting') or exists (
        select from public.jobs as j
        where j.owner_id = :owner_id and j.video_id = v.id
          and j.state in ('queued', 'retryable', 'running')
    ) as busy,
    array_remove(array[v.source_key, v.transcript_key, v.audio_key], null) || array(
        select k.image_key
        from public.scenes as s
        join public.keyframes as k on k.owner_id = :owner_id and k.scene_id = s.id
        where s.owner_id = :owner_id and s.video_id = v.id
    ) as keys
from public.videos as v
where v.owner_id = :owner_id and v.id = any(:ids)
