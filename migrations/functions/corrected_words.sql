-- Words of a query that none of the owner's videos has, each with the owner's words nearest to it.
-- Near is one letter added, left out, changed, or two neighbours swapped. One edit leaves the first
-- or the second half of a word as it is, so an index of beginnings or of endings finds them all.
create or replace function scenebook.corrected_words(query_text text, filter_user_id uuid)
returns table (word text, near text[])
language plpgsql stable security invoker parallel safe rows 2
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
#variable_conflict use_column
declare
    -- Neither what stands in quotes nor what is left out is to be corrected.
    plain constant text := pg_catalog.regexp_replace(
        scenebook.checked_query(query_text, filter_user_id),
        '"[^"]*("|$)|(^|[\s()])-\S+', ' ', 'g');
    beyond constant text := pg_catalog.chr(1114111);    -- sorts after every letter
    languages constant regconfig[] := array(
        select l.configuration from scenebook.languages_of(filter_user_id) as l);
    letters integer;
    half integer;
    asked text;
    exact text[];                           -- one letter less, or two swapped
    patterns text[];                        -- one letter more, or another one
    beginning text;
    ending text;
    found text[];
begin
    for asked in
        select distinct pg_catalog.lower(t.token)
        from pg_catalog.ts_parse('default', plain) as t
        where t.tokid in (1, 2)             -- words, without numbers, addresses and compounds
          and pg_catalog.char_length(t.token) between 4 and 30
          and t.token !~ '[[:digit:][:punct:][:space:]]'
        order by 1
        limit 20
    loop
        -- Known are words that some video has, in this form or another, and stop words.
        continue when exists (
            select
            from pg_catalog.unnest(languages) as l
            cross join lateral pg_catalog.to_tsvector(l, asked) as stemmed
            where stemmed = ''
               or exists (
                   select from public.video_words as w
                   where w.owner_id = filter_user_id
                     and w.word = any (asked || pg_catalog.tsvector_to_array(stemmed))));
        letters := pg_catalog.char_length(asked);
        half := letters / 2;
        beginning := pg_catalog.left(asked, half);
        ending := pg_catalog.reverse(pg_catalog.right(asked, letters - half));
        select
            pg_catalog.array_agg(l.before || l.after)
                || pg_catalog.array_agg(
                    l.before || pg_catalog.left(l.after, 1) || l.letter
                    || pg_catalog.substr(l.after, 2)),
            pg_catalog.array_agg(l.before || '_' || l.after)
                || pg_catalog.array_agg(l.before || '_' || l.letter || l.after)
                || pg_catalog.array_agg(l.before || l.letter || '_' || l.after)
        into exact, patterns
        from (
            select pg_catalog.left(asked, i - 1) as before,
                   pg_catalog.substr(asked, i, 1) as letter,
                   pg_catalog.substr(asked, i + 1) as after
            from pg_catalog.generate_series(1, letters) as i
        ) as l;
        select pg_catalog.array_agg(n.word order by n.videos desc, n.word)
        into found
        from (
            select c.word, pg_catalog.count(*) as videos
            from (
                select w.word, w.video_id
                from public.video_words as w
                where w.owner_id = filter_user_id
                  and w.word = any (exact)
                  and w.spelt
                union
                select w.word, w.video_id
                from public.video_words as w
                where w.owner_id = filter_user_id
                  and w.word >= beginning and w.word < beginning || beyond
                  and w.word like any (patterns)
                  and w.spelt
                union
                select w.word, w.video_id
                from public.video_words as w
                where w.owner_id = filter_user_id
                  and w.backwards >= ending and w.backwards < ending || beyond
                  and w.word like any (patterns)
                  and w.spelt
            ) as c
            group by c.word
            order by videos desc, c.word
            limit 3
        ) as n;
        if found is not null then
            return query select asked, found;
        end if;
    end loop;
end;
$$;
comment on function scenebook.corrected_words is
    'Words of a query that none of the owner''s videos has, with the owner''s nearest words.';
revoke all on function scenebook.corrected_words from public, anon;
grant execute on function scenebook.corrected_words
    to authenticated, service_role, scenebook_api, scenebook_worker;
