-- What a person typed as a full-text query in each language of one owner's scenes, with the owner's
-- nearest words beside words that none of the owner's videos has. Languages without a word are left out.
create or replace function scenebook.queries_by_language(query_text text, filter_user_id uuid)
returns table (language text, configuration regconfig, query tsquery, words text[])
language plpgsql stable security invoker parallel safe rows 3
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
declare
    -- More than 32 hyphens without a word between them are an error; three say nothing already.
    typed constant text := pg_catalog.regexp_replace(query_text, '-([\s!&|()<"]*-){2,}', ' ', 'g');
    corrections jsonb;
    spoken record;
    corrected record;
    near text;
    asked tsquery;
    either tsquery;
    whole tsquery;
begin
    corrections := (
        select pg_catalog.jsonb_object_agg(c.word, c.near)
        from scenebook.corrected_words(query_text, filter_user_id) as c);
    for spoken in select l.language, l.configuration from scenebook.languages_of(filter_user_id) as l
    loop
        whole := pg_catalog.websearch_to_tsquery(spoken.configuration, typed);
        words := pg_catalog.tsvector_to_array(
            pg_catalog.to_tsvector(spoken.configuration, query_text));
        for corrected in
            select c.key as word, array(select pg_catalog.jsonb_array_elements_text(c.value)) as near
            from pg_catalog.jsonb_each(corrections) as c
        loop
            asked := pg_catalog.plainto_tsquery(spoken.configuration, corrected.word);
            continue when pg_catalog.numnode(asked) <> 1;
            either := asked;
            foreach near in array corrected.near loop
                either := either operator(pg_catalog.||)
                    pg_catalog.plainto_tsquery(spoken.configuration, near);
                words := words || pg_catalog.tsvector_to_array(
                    pg_catalog.to_tsvector(spoken.configuration, near));
            end loop;
            whole := pg_catalog.ts_rewrite(whole, asked, either);
        end loop;
        if pg_catalog.numnode(whole) > 0 then
            language := spoken.language;
            configuration := spoken.configuration;
            query := whole;
            return next;
        end if;
    end loop;
end;
$$;
comment on function scenebook.queries_by_language is
    'What a person typed as a full-text query in each language of one owner''s scenes.';
revoke all on function scenebook.queries_by_language from public, anon;
grant execute on function scenebook.queries_by_language
    to authenticated, service_role, scenebook_api, scenebook_worker;
