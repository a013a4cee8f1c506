-- What a search of the owner looks through.
select
    count(*) as videos,
    count(*) filter (where v.status in ('uploading', 'waiting', 'processing')) as unsettled,
    coalesce(sum((
        select count(*) from public.scenes as s
        where s.owner_id = v.owner_id and s.video_id = v.id and s.generation = v.generation
    )), 0)::bigint as scenes,
    coalesce(sum((
        select count(*) from public.scenes as s
        where s.owner_id = v.owner_id and s.video_id = v.id and s.generation = v.generation
          and s.search_text <> ''
    )), 0)::bigint as with_words
from public.videos as v
where v.owner_id = :owner_id and v.status <> 'deleting'
