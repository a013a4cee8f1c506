-- Takes back 0002. Vectors of inactive spaces stay: the release before ignores them too.

alter table public.keyframes drop column perceptual_hash;
alter table public.paid_calls drop column kind;
drop table public.space_scenes;
drop policy dropped_spaces on public.embedding_spaces;
revoke delete on public.embedding_spaces from scenebook_worker;
alter table public.embedding_spaces
    drop column source,
    drop column activated_at,
    drop column retired_at;
