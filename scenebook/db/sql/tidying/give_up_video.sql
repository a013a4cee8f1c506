-- Hides a video that nobody goes on with. No row: somebody went on after all.
update public.videos set status = 'deleting', updated_at = now()
where owner_id = :owner_id and id = :video_id
  and status = 'uploading' and updated_at <= now() - make_interval(secs => :older_s)
returning id
