select scene_id, similarity, matched_ms
from public.batch_score_scenes_clip(
    query_embedding => cast(:query as public.vector),
    scene_ids => cast(:scene_ids as uuid[]),
    filter_user_id => cast(:owner_id as uuid),
    filter_space_id => cast(:space_id as integer))
