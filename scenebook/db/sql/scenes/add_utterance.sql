insert into public.utterances
    (owner_id, video_id, generation, ordinal, scene_id, start_ms, end_ms, text, speaker, source)
values
    (:owner_id, :video_id, :generation, :ordinal, :scene_id, :start_ms, :end_ms, :text, :speaker,
     :source)
