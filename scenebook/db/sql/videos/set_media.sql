-- What probing found out; what the owner wrote stays. Tags that have no room beside it are dropped.
update public.videos as v
set duration_ms = :duration_ms, fps = :fps, width = :width, height = :height, rotation = :rotation,
    video_codec = :video_codec, audio_codec = :audio_codec, has_audio = :has_audio,
    metadata = case
        when length(cast(found.all_of_it || found.own as text)) <= 65536
        then found.all_of_it || found.own
        else (found.all_of_it - 'tags' - 'streams') || found.own
    end,
    updated_at = now()
from (
    select
        id,
        cast(:metadata as jsonb) as all_of_it,
        case
            when metadata -> 'own' is null then cast('{}' as jsonb)
            else jsonb_build_object('own', metadata -> 'own')
        end as own
    from public.videos
    where owner_id = :owner_id and id = :video_id
) as found
where v.owner_id = :owner_id and v.id = found.id
