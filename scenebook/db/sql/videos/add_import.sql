-- A video whose source is still to be fetched.
insert into public.videos (
    id, owner_id, title, source_key, content_hash, bytes, status, source_url, transcript_key,
    language, metadata)
values (
    :id, :owner_id, :title, :source_key, null, 0, 'waiting', :source_url,
    :transcript_key, :language, cast(:metadata as jsonb))
