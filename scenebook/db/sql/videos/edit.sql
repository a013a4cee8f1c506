-- What an owner may change; null leaves it as it is. No row if both kinds of metadata are too much.
update public.videos as v
set title = coalesce(cast(:title as text), v.title), metadata = edited.metadata, updated_at = now()
from (
    select
        id,
        case
            when cast(:own as jsonb) is null then metadata
            else jsonb_set(metadata, '{own}', cast(:own as jsonb))
        end as metadata
    from public.videos
    where owner_id = :owner_id and id = :video_id and status <> 'deleting'
) as edited
where v.owner_id = :owner_id and v.id = edited.id and length(cast(edited.metadata as text)) <= 65536
returning v.id
