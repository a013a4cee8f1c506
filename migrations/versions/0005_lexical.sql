-- What is found by its words: the language of scenes, and the words of videos as they are spelt.

create table public.video_words (
    owner_id uuid not null,
    video_id uuid not null,
    word text not null collate "C",         -- bytewise, so that an index finds beginnings
    -- Row security lets only leakproof operators use an index, and reverse() is not one.
    backwards text not null collate "C" generated always as (reverse(word)) stored,
    spelt boolean not null,                 -- false: only the stem of a word
    primary key (owner_id, word, video_id)
);
create index video_words_video_idx on public.video_words (video_id);
create index video_words_ending_idx on public.video_words (owner_id, backwards) where spelt;
comment on table public.video_words is
    'Words and stems of the scenes that readers see, of up to three videos each, to tell a misspelt word by.';

-- Supabase grants everything on new tables to its three roles by default: take that back first.
revoke all on public.video_words from public, anon, authenticated, service_role;
grant select on public.video_words to authenticated, scenebook_api;
grant select, insert, update, delete on public.video_words to service_role, scenebook_worker;

alter table public.video_words enable row level security;
alter table public.video_words force row level security;
create policy own_rows on public.video_words
    to authenticated, scenebook_api, scenebook_worker
    using (owner_id = (select auth.uid()))
    with check (owner_id = (select auth.uid()));

-- The words of videos that are there, owner by owner as the application would do it: row security
-- binds the migrating login too, unless it is a superuser.
do $$
declare
    login constant text := current_setting('role');
    claims constant text := current_setting('request.jwt.claims', true);
    everyone uuid[];
    whose uuid;
begin
    perform set_config('role', 'scenebook_relay', true);
    everyone := array(select id from public.owners order by id);
    perform set_config('role', 'scenebook_worker', true);
    foreach whose in array everyone loop
        perform set_config('request.jwt.claims', json_build_object('sub', whose)::text, true);
        insert into public.video_words (owner_id, video_id, word, spelt)
        select whose, n.video_id, n.word, true
        from (
            select w.lexeme collate "C" as word, s.video_id,
                   row_number() over (partition by w.lexeme order by s.video_id) as place
            from public.videos as v
            join public.scenes as s
                on s.owner_id = whose and s.video_id = v.id and s.generation = v.generation
            cross join lateral unnest(s.search_text) as w
            where v.owner_id = whose
              and v.status <> 'deleting'
              and char_length(w.lexeme) between 2 and 40
              and w.lexeme !~ '[[:digit:][:punct:][:space:]]'
            group by w.lexeme, s.video_id
        ) as n
        where n.place <= 3
        order by n.word, n.video_id;
    end loop;
    perform set_config('role', login, true);
    perform set_config('request.jwt.claims', coalesce(claims, ''), true);
end;
$$;

-- From here on other sessions wait, so nothing below takes long.
select pg_temp.lock_tables('public.owners', 'public.videos', 'public.scenes');
alter table public.video_words add foreign key (owner_id, video_id)
    references public.videos (owner_id, id) on delete cascade;

alter table public.scenes
    alter column search_text drop expression,   -- what is stored stays as it is
    -- Beside the row: row security keeps the index from most readers, who scan their own scenes.
    alter column search_text set storage main,
    add column language text check (language ~ '^[a-z_]{2,30}$');
comment on column public.scenes.language is
    'Text search configuration of its words, as english; null: words as they are.';
create index scenes_owner_language_idx on public.scenes (owner_id, language);
