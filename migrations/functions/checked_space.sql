-- Checks the arguments of a vector search and returns the space to search; null if there is none yet.
-- What is refused would otherwise match nothing, everything, or another owner's rows.
drop function if exists scenebook.checked_space(    -- of the release before
    text, public.vector, double precision, integer, uuid, integer, integer);
create or replace function scenebook.checked_space(
    channel text,
    query_embedding public.vector,
    match_threshold double precision,
    match_count integer,
    filter_user_id uuid,
    filter_space_id integer,
    match_offset integer,
    after_similarity double precision default null,
    after_scene_id uuid default null
)
returns integer
language plpgsql stable security invoker parallel safe
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
#variable_conflict use_variable
declare
    problem text;
    remedy text;
    space public.embedding_spaces;
begin
    select p.* into space
    from public.embedding_spaces as p
    where p.channel = channel
      and case when filter_space_id is null then p.status = 'active' else p.id = filter_space_id end;

    case
        when filter_user_id is null then
            problem := 'filter_user_id is required';
            remedy := 'Pass the owner whose scenes are to be searched; null never means everybody.';
        when query_embedding is null then
            problem := 'query_embedding is required';
            remedy := 'Pass the vector of the query, made by the model of the channel''s space.';
        when public.vector_norm(query_embedding) < 1e-18 then
            problem := 'query_embedding is a zero vector, or nearly';
            remedy := 'A vector without direction is near to nothing; embed the query again.';
        when not public.vector_norm(query_embedding) <= 1e18 then
            problem := 'query_embedding is too long a vector';
            remedy := 'No model makes a vector longer than 1e18; embed the query again.';
        when match_threshold is null or match_threshold = 'NaN' then
            problem := 'match_threshold must be a number';
            remedy := 'Pass the smallest cosine similarity wanted, -1 to 1.';
        when match_count is null or match_count not between 1 and 1000 then
            problem := 'match_count must lie between 1 and 1000';
            remedy := 'Ask for later pages with match_offset.';
        when match_offset is null or match_offset not between 0 and 1000000 then
            problem := 'match_offset must lie between 0 and 1000000';
            remedy := 'Pass how many of the best matches to leave out.';
        when (after_similarity is null) <> (after_scene_id is null) or after_similarity = 'NaN' then
            problem := 'after_similarity and after_scene_id belong together';
            remedy := 'Pass both as the last row of the page before has them, or neither.';
        when after_scene_id is not null and match_offset > 0 then
            problem := 'match_offset and after_scene_id exclude each other';
            remedy := 'Page either by match_offset or by the last row of the page before.';
        when filter_space_id is not null and space.id is null then
            problem := pg_catalog.format(
                'embedding space %s does not belong to the channel %s', filter_space_id, channel);
            remedy := 'Leave filter_space_id out to search the active space.';
        when space.dimensions <> public.vector_dims(query_embedding) then
            problem := pg_catalog.format(
                'query_embedding has %s dimensions, the channel %s has %s',
                public.vector_dims(query_embedding), channel, space.dimensions);
            remedy := pg_catalog.format('Embed the query with the model %s.', space.model);
        else
            return space.id;
    end case;
    raise sqlstate 'PT400' using message = problem, hint = remedy;
end;
$$;
comment on function scenebook.checked_space is
    'Checks the arguments of a vector search and returns the space to search.';
revoke all on function scenebook.checked_space from public, anon;
grant execute on function scenebook.checked_space
    to authenticated, service_role, scenebook_api, scenebook_worker;
