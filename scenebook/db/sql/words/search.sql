select * from public.search_scenes_by_text(
    query_text => :text, match_count => :limit, match_offset => :offset,
    filter_video_id => cast(:video_id as uuid), filter_user_id => cast(:owner_id as uuid),
    filter_scene_ids => cast(:scene_ids as uuid[]),
    after_text_rank => cast(:after_text_rank as float8),
    after_scene_id => cast(:after_scene_id as uuid), as_of => cast(:as_of as timestamptz))
