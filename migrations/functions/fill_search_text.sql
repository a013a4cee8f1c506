-- Makes what a scene is found by from its words, in the scene's own language.
-- A generated column could not: which configuration a name means may change, so it is not immutable.
create or replace function scenebook.fill_search_text()
returns trigger
language plpgsql security invoker
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
begin
    new.search_text := pg_catalog.to_tsvector(
        coalesce(
            (
                select c.oid::regconfig
                from pg_catalog.pg_ts_config as c
                where c.cfgname = new.language
                  and c.cfgnamespace = 'pg_catalog'::regnamespace
            ),
            'pg_catalog.simple'::regconfig),
        -- A text search vector has at most 1 MB, and no scene should fail for having more words.
        pg_catalog.left(
            coalesce(new.transcript, '') || ' ' || coalesce(new.description, '')
                || ' ' || coalesce(new.summary, ''),
            100000));
    return new;
end;
$$;
comment on function scenebook.fill_search_text is
    'Makes what a scene is found by from its words, in the scene''s own language.';
revoke all on function scenebook.fill_search_text from public, anon;

create or replace trigger fill_search_text
    before insert or update of transcript, description, summary, language on public.scenes
    for each row execute function scenebook.fill_search_text();
