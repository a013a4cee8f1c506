-- A video whose source is still to be fetched.
insert into public.videos (
    id, owner_id, title, source_key, content_hash, bytes, status, source_url, language, metadata)
values (
    :id, :owner_id, :title, :source_key, null, 0, 'uploading', :source_url,
    :language, cast(:metadata as jsonb))
