select id, owner_id, video_id, generation, scene_index, start_ms, end_ms, transcript, description,
       summary, tags
from public.scenes
where owner_id = :owner_id and video_id = :video_id and generation = :generation
  and (cast(:first as integer) is null or scene_index >= :first)
  and (cast(:last as integer) is null or scene_index < :last)
order by scene_index
