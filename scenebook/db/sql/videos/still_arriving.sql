-- A sign of life of whoever sends the source; of two at once the other may have been first.
-- No row: it is gone.
update public.videos
set updated_at = case when status = 'uploading' then now() else updated_at end
where owner_id = :owner_id and id = :video_id and status <> 'deleting'
returning id
