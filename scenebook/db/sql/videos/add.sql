-- A new video, unless this owner has the same bytes already.
insert into public.videos (
    id, owner_id, title, source_key, content_hash, bytes, language, metadata, status)
values (
    :id, :owner_id, :title, :source_key, :content_hash, :bytes, :language,
    cast(:metadata as jsonb), 'uploading')
on conflict (owner_id, content_hash) where status <> 'deleting' do nothing
returning id
