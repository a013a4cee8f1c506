insert into public.scene_channels as c (owner_id, scene_id, channel, status, error, metadata)
values (:owner_id, :scene_id, :channel, :status, :error, cast(:metadata as jsonb))
on conflict (scene_id, channel) do update
set status = excluded.status, error = excluded.error, metadata = excluded.metadata,
    updated_at = now()
where c.owner_id = excluded.owner_id
