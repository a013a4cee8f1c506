insert into public.space_scenes as c (space_id, owner_id, scene_id, status, error, metadata)
values (:space_id, :owner_id, :scene_id, :status, :error, cast(:metadata as jsonb))
on conflict (scene_id, space_id) do update
set status = excluded.status, error = excluded.error, metadata = excluded.metadata,
    updated_at = now()
where c.owner_id = excluded.owner_id
