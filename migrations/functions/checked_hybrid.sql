-- Checks what search_scenes_hybrid is asked and returns the channels that take part, in one order.
create or replace function scenebook.checked_hybrid(
    query_text text,
    vectors public.vector[],
    weights jsonb,
    thresholds jsonb,
    match_count integer,
    candidates integer,
    filter_user_id uuid,
    after_score double precision,
    after_scene_id uuid
)
returns text[]
language plpgsql stable security invoker parallel safe
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
declare
    channels constant text[] := array['visual_clip', 'transcript', 'visual', 'summary', 'lexical'];
    asked text[];
    problem text;
    remedy text;
begin
    select coalesce(array_agg(c.name order by c.place), '{}') into asked
    from unnest(channels) with ordinality as c (name, place)
    where case when c.name = 'lexical' then query_text is not null
               else vectors[c.place] is not null end;
    case
        when filter_user_id is null then
            problem := 'filter_user_id is required';
            remedy := 'Pass the owner whose scenes are to be searched; null never means everybody.';
        when pg_catalog.jsonb_typeof(weights) is distinct from 'object'
            or pg_catalog.jsonb_typeof(thresholds) is distinct from 'object' then
            problem := 'weights and thresholds must be objects';
            remedy := 'Pass numbers by channel, as {"lexical": 0.5}.';
        when exists (
            select
            from (
                select * from pg_catalog.jsonb_each(weights)
                union all select * from pg_catalog.jsonb_each(thresholds)
            ) as w (name, number)
            where w.name <> all (channels) or pg_catalog.jsonb_typeof(w.number) <> 'number'
        ) then
            problem := 'weights and thresholds must be numbers by channel';
            remedy := 'The channels are ' || array_to_string(channels, ', ') || '.';
        when exists (
            select from pg_catalog.jsonb_each_text(weights) as w (name, number)
            where w.number::numeric not between 0 and 1000000
        ) then
            problem := 'a weight must lie between 0 and 1000000';
            remedy := 'Only the ratio of weights counts.';
        when asked = '{}' then
            problem := 'the query is empty';
            remedy := 'Pass query_text, or the vector of a channel, or several of them.';
        when match_count is null or match_count not between 1 and 1000 then
            problem := 'match_count must lie between 1 and 1000';
            remedy := 'Ask for later pages with after_score and after_scene_id.';
        when candidates is null or candidates not between 1 and 1000 then
            problem := 'candidates must lie between 1 and 1000';
            remedy := 'They are the matches of each channel that take part in the fusion.';
        when (after_score is null) <> (after_scene_id is null) or after_score = 'NaN' then
            problem := 'after_score and after_scene_id belong together';
            remedy := 'Pass both of the last row of the page before, and its as_of.';
        else
            asked := array(
                select c.name from unnest(asked) with ordinality as c (name, place)
                where coalesce((weights ->> c.name)::numeric, 1) > 0 order by c.place);
            if asked <> '{}' then
                return asked;
            end if;
            problem := 'every channel that is asked has the weight 0';
            remedy := 'Give one of them a larger one.';
    end case;
    raise sqlstate 'PT400' using message = problem, hint = remedy;
end;
$$;
comment on function scenebook.checked_hybrid is
    'Checks what search_scenes_hybrid is asked and returns the channels that take part.';
revoke all on function scenebook.checked_hybrid from public, anon;
grant execute on function scenebook.checked_hybrid
    to authenticated, service_role, scenebook_api, scenebook_worker;
