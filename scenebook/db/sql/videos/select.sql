select
    v.id, v.owner_id, v.title, v.status, v.source_key, v.generation, v.content_hash, v.bytes,
    v.transcript_key, v.audio_key, v.failed_stage, v.reason, v.duration_ms, v.decoded_ms, v.fps,
    v.width, v.height, v.rotation, v.has_audio, v.audio_silent, v.damage, v.metadata, v.created_at,
    v.updated_at,
    (select count(*) from public.scenes as s
     where s.owner_id = v.owner_id and s.video_id = v.id and s.generation = v.generation
    ) as scene_count
from public.videos as v
where v.owner_id = :owner_id
  and (cast(:video_id as uuid) is null or v.id = :video_id)
  and (cast(:content_hash as text) is null
       or (v.content_hash = :content_hash and v.status <> 'deleting'))
order by v.created_at desc, v.id
