-- The words of one generation as they are spelt, and the stems by which scenes are found.
-- Three videos that have a word are enough to know it by: a large library stays small here.
with words as (
    select w.lexeme collate "C" as word, bool_or(w.spelt) as spelt
    from public.scenes as s
    cross join lateral (
        select lexeme, true as spelt
        from unnest(to_tsvector('simple', left(
            coalesce(s.transcript, '') || ' ' || coalesce(s.description, '')
                || ' ' || coalesce(s.summary, ''), 100000)))
        union all
        select lexeme, false from unnest(s.search_text)
    ) as w
    where s.owner_id = :owner_id and s.video_id = :video_id and s.generation = :generation
      and char_length(w.lexeme) between 2 and 40
      and w.lexeme !~ '[[:digit:][:punct:][:space:]]'
    group by w.lexeme
)
insert into public.video_words (owner_id, video_id, word, spelt)
select :owner_id, :video_id, n.word, n.spelt
from words as n
where (
    select count(*) from (
        select from public.video_words as o
        where o.owner_id = :owner_id and o.word = n.word and o.spelt >= n.spelt
        limit 3
    ) as others
) < 3
order by n.word
