-- No scene without a vector and without a reason.
update public.scene_channels as c
set status = 'error', error = :why, metadata = '{}', updated_at = now()
where c.owner_id = :owner_id and c.channel = :channel and c.status = 'ok'
  and not exists (select from public.scene_embeddings as e
                  where e.space_id = :space_id and e.owner_id = c.owner_id
                    and e.scene_id = c.scene_id)
