select
    (
        select count(*) from public.scene_embeddings
        where space_id = :space_id and owner_id = :owner_id
    ) as vectors,
    scenebook.own_index_rows(:space_id, :owner_id) is not null as has_index
