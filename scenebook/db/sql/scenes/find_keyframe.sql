select k.id, k.scene_id, k.at_ms, k.rank, k.quality, k.image_key, k.image_hash, k.perceptual_hash
from public.keyframes as k
join public.scenes as s on s.owner_id = k.owner_id and s.id = k.scene_id
join public.videos as v on v.owner_id = s.owner_id and v.id = s.video_id
where k.owner_id = :owner_id and k.id = :keyframe_id and v.status <> 'deleting'
