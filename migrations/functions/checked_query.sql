-- Checks the words of a search and its owner, and returns the words.
create or replace function scenebook.checked_query(query_text text, filter_user_id uuid)
returns text
language plpgsql stable security invoker parallel safe
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
declare
    problem text;
    remedy text;
begin
    case
        when filter_user_id is null then
            problem := 'filter_user_id is required';
            remedy := 'Pass the owner whose scenes are to be searched; null never means everybody.';
        when query_text is null or pg_catalog.btrim(query_text, E' \t\r\n') = '' then
            problem := 'query_text is required';
            remedy := 'Pass the words to look for, as a person types them into a search box.';
        when pg_catalog.char_length(query_text) > 2000 then
            problem := 'query_text is longer than 2000 characters';
            remedy := 'Pass the words that matter.';
        else
            return query_text;
    end case;
    raise sqlstate 'PT400' using message = problem, hint = remedy;
end;
$$;
comment on function scenebook.checked_query is
    'Checks the words of a search and its owner, and returns the words.';
revoke all on function scenebook.checked_query from public, anon;
grant execute on function scenebook.checked_query
    to authenticated, service_role, scenebook_api, scenebook_worker;
