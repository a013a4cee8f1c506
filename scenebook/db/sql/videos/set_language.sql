-- A language that was given, or heard before, stays.
update public.videos set language = :language, updated_at = now()
where owner_id = :owner_id and id = :video_id and language is null
