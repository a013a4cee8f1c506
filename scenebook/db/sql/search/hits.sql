-- The owner's scenes among these, each with the keyframe nearest to where it matched.
select
    s.id, s.video_id, s.scene_index, s.start_ms, s.end_ms, s.transcript, s.description, s.summary,
    s.tags, v.title, k.id as keyframe_id
from unnest(cast(:ids as uuid[]), cast(:times as bigint[])) as m (scene_id, matched_ms)
join public.scenes as s on s.owner_id = :owner_id and s.id = m.scene_id
join public.videos as v
    on v.owner_id = s.owner_id and v.id = s.video_id and v.generation = s.generation
left join lateral (
    select f.id
    from public.keyframes as f
    where f.owner_id = s.owner_id and f.scene_id = s.id
    order by abs(f.at_ms - m.matched_ms), f.rank
    limit 1
) as k on true
where v.status <> 'deleting'
