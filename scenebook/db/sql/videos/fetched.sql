-- The source of an import is stored, unless the owner has the same bytes as another video.
update public.videos as v
set content_hash = :content_hash, bytes = :bytes, updated_at = now()
where v.owner_id = :owner_id and v.id = :video_id
  and not exists (
      select from public.videos as o
      where o.owner_id = v.owner_id and o.content_hash = :content_hash and o.id <> v.id
        and o.status <> 'deleting')
returning v.id
