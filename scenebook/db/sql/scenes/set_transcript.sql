-- The words of a scene are in the language of its video.
update public.scenes as s
set transcript = :transcript,
    language = (
        select v.language from public.videos as v
        where v.owner_id = :owner_id and v.id = s.video_id
    ),
    lease_token = :token
where s.owner_id = :owner_id and s.id = :scene_id
