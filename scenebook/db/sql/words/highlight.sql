select * from public.highlight_scenes(
    scene_ids => cast(:scene_ids as uuid[]), query_text => :text,
    filter_user_id => cast(:owner_id as uuid))
