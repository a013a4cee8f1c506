select id, scene_id, at_ms, rank, quality, image_key, image_hash, perceptual_hash
from public.keyframes
where owner_id = :owner_id and scene_id = any(:ids)
order by scene_id, rank
