update public.videos
set decoded_ms = :decoded_ms, duration_ms = coalesce(:duration_ms, duration_ms), damage = :damage,
    audio_key = :audio_key, audio_silent = :audio_silent, updated_at = now()
where owner_id = :owner_id and id = :video_id
