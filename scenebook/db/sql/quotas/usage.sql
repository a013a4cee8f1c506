-- What counts against the limits: videos that are to stay, and uploads that have begun.
select
    coalesce(sum(used.bytes), 0)::bigint as bytes,
    count(*) as videos
from (
    select v.bytes
    from public.videos as v
    where v.owner_id = :owner_id and v.status <> 'deleting'
    union all
    select u.bytes
    from public.uploads as u
    where u.owner_id = :owner_id and u.video_id is null and u.expires_at > now()
) as used
