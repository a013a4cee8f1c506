-- Takes back 0005. Every scene is found by its words as they are written again.

drop trigger fill_search_text on public.scenes;
drop function if exists
    scenebook.fill_search_text, scenebook.checked_query, scenebook.corrected_words,
    scenebook.languages_of, scenebook.matched_line, scenebook.queries_by_language,
    public.search_scenes_by_text, public.highlight_scenes;
delete from scenebook.sql_functions where name in (
    'fill_search_text', 'checked_query', 'corrected_words', 'languages_of', 'matched_line',
    'queries_by_language', 'search_scenes_by_text', 'highlight_scenes');
drop table public.video_words;
drop index public.scenes_owner_language_idx;
alter table public.scenes
    drop column language,
    drop column search_text;
alter table public.scenes add column search_text tsvector not null generated always as (
    to_tsvector('simple', coalesce(transcript, '') || ' ' || coalesce(description, '')
        || ' ' || coalesce(summary, ''))
) stored;
create index scenes_search_text_gin on public.scenes using gin (search_text);
