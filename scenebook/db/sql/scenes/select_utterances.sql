select scene_id, start_ms, end_ms, text, speaker, source
from public.utterances
where owner_id = :owner_id and video_id = :video_id and generation = :generation
order by ordinal
