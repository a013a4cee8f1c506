-- What probing found out.
update public.videos
set duration_ms = :duration_ms, fps = :fps, width = :width, height = :height, rotation = :rotation,
    video_codec = :video_codec, audio_codec = :audio_codec, has_audio = :has_audio,
    metadata = cast(:metadata as jsonb), updated_at = now()
where owner_id = :owner_id and id = :video_id
