-- The best picture of how each video begins: a long one has more scenes than are worth looking at.
select distinct on (s.video_id) s.video_id, k.id
from public.videos as v
join public.scenes as s on
    s.owner_id = v.owner_id and s.video_id = v.id and s.generation = v.generation
    and s.scene_index < 50
join public.keyframes as k on k.owner_id = s.owner_id and k.scene_id = s.id and k.rank = 0
where v.owner_id = :owner_id and v.id = any(:ids) and v.status <> 'deleting'
order by s.video_id, (k.quality ->> 'quality_score')::float8 desc nulls last, s.scene_index
