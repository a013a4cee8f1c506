-- One scene; a second write of the same scene keeps its id and loses to a newer token.
insert into public.scenes
    (id, owner_id, video_id, generation, scene_index, start_ms, end_ms, lease_token)
values (:id, :owner_id, :video_id, :generation, :scene_index, :start_ms, :end_ms, :token)
