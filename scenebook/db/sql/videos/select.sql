select
    v.id, v.owner_id, v.title, v.status, v.source_key, v.generation, v.content_hash, v.bytes,
    v.transcript_key, v.audio_key, v.failed_stage, v.reason, v.duration_ms, v.decoded_ms, v.fps,
    v.width, v.height, v.rotation, v.has_audio, v.audio_silent, v.damage, v.source_url,
    v.language, v.metadata, v.created_at, v.updated_at,
    (select count(*) from public.scenes as s
     where s.owner_id = v.owner_id and s.video_id = v.id and s.generation = v.generation
    ) as scene_count
from public.videos as v
where v.owner_id = :owner_id
  and (cast(:video_id as uuid) is null or v.id = :video_id)
  and (cast(:content_hash as text) is null
       or (v.content_hash = :content_hash and v.status <> 'deleting'))
  and (cast(:status as text) is null or v.status = :status)
  and (cast(:hidden as text) is null or v.status <> :hidden)
  and (cast(:title as text) is null or position(lower(:title) in lower(v.title)) > 0)
  and (cast(:before as timestamptz) is null
       or v.created_at < :before
       or (v.created_at = :before and v.id > cast(:after_id as uuid)))
order by v.created_at desc, v.id
limit cast(:limit as integer)
