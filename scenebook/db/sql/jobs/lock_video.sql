-- Serialises everything that finishes a job of this video; always taken before the job's own lock.
select id, owner_id, status, generation from public.videos
where owner_id = :owner_id and id = :video_id
for update
