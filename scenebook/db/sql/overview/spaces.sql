-- How the scenes that readers see stand in each space, of all owners: with vectors, or why without.
-- Statuses of the active space are in scene_channels, of others in space_scenes; what the channel
-- says of the scene, as that nothing is spoken, holds in every space.
select
    p.id as space_id,
    case
        when e.scene_id is not null then null
        when p.status = 'active' then c.status
        else coalesce(x.status, case when c.status = any (:of_model) then 'pending' else c.status end)
    end as reason,
    count(*) as scenes,
    coalesce(sum(e.vectors), 0)::bigint as vectors
from public.embedding_spaces as p
join public.scene_channels as c on c.channel = p.channel
join public.scenes as s on s.id = c.scene_id
join public.videos as v on v.id = s.video_id and v.generation = s.generation
left join (
    select space_id, owner_id, scene_id, count(*) as vectors
    from public.scene_embeddings
    group by space_id, owner_id, scene_id
) as e on e.space_id = p.id and e.owner_id = c.owner_id and e.scene_id = c.scene_id
left join public.space_scenes as x on x.space_id = p.id and x.scene_id = c.scene_id
where v.status <> 'deleting'
group by 1, 2
