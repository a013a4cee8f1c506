insert into public.keyframes (
    owner_id, scene_id, at_ms, rank, quality, image_key, image_hash, perceptual_hash
)
values (
    :owner_id, :scene_id, :at_ms, :rank, cast(:quality as jsonb), :image_key, :image_hash,
    :perceptual_hash
)
