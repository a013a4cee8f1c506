-- How similar given scenes of one owner are to a CLIP vector of a text or a picture: the best vector
-- of each. Scenes without one, and such as are not the owner's, have no row.
create or replace function public.batch_score_scenes_clip(
    query_embedding public.vector,
    scene_ids uuid[],                               -- at most 1000
    filter_user_id uuid,
    filter_space_id integer default null            -- null: the channel's active space
)
returns table (
    scene_id uuid,
    similarity double precision,
    matched_ms bigint
)
language plpgsql stable security invoker parallel safe
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
#variable_conflict use_column
declare
    space integer;
    wanted public.vector;
begin
    if scene_ids is null or pg_catalog.cardinality(scene_ids) > 1000 then
        raise sqlstate 'PT400' using
            message = 'scene_ids must be given, 1000 at most',
            hint = 'Pass the ids of the scenes to be scored, in parts if they are many.';
    end if;
    space := scenebook.checked_space(
        'visual_clip', query_embedding, -1, 1, filter_user_id, filter_space_id, 0);
    if space is null then
        return;                             -- nothing has been embedded in this channel yet
    end if;
    wanted := public.l2_normalize(query_embedding);
    return query
    with owned as materialized (
        select e.scene_id, e.ordinal, e.at_ms,
            1 - (e.embedding::public.vector operator(public.<=>) wanted) as similarity
        from public.scene_embeddings as e
        join public.videos as v
            on v.owner_id = filter_user_id
            and v.id = e.video_id
            and v.generation = e.generation
        where e.space_id = space
          and e.owner_id = filter_user_id
          and e.scene_id = any (scene_ids)
          and v.status <> 'deleting'
    ),
    best as (
        select distinct on (o.scene_id) o.scene_id, o.similarity, o.at_ms
        from owned as o
        order by o.scene_id, o.similarity desc, o.ordinal
    )
    select b.scene_id, b.similarity, b.at_ms
    from best as b
    order by b.similarity desc, b.scene_id;
end;
$$;
comment on function public.batch_score_scenes_clip is
    'How similar given scenes of one owner are to a CLIP vector: the best vector of each.';
revoke all on function public.batch_score_scenes_clip from public, anon;
grant execute on function public.batch_score_scenes_clip
    to authenticated, service_role, scenebook_api, scenebook_worker;
