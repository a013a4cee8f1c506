select id, owner_id, video_id, generation, scene_index, start_ms, end_ms, transcript, description,
       summary, tags
from public.scenes
where owner_id = :owner_id and id = any(:ids)
