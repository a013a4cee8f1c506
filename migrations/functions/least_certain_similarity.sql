-- Prepares the transaction for a walk through an owner's own index, and returns the similarity down to
-- which its answer may be trusted. What a graph leads to stands out: where vectors lie about the query
-- by chance, the nearest are scattered over the graph and it loses its way.
create or replace function scenebook.least_certain_similarity(
    space integer,
    query_embedding public.vector,                  -- of norm 1
    match_count integer,
    index_rows double precision,                    -- how many vectors the index holds, about
    filter_user_id uuid
)
returns double precision
language plpgsql stable security invoker parallel unsafe
set search_path = ''
set plan_cache_mode = 'force_custom_plan'
as $$
declare
    quartiles double precision[];
begin
    -- Not settings of the function: those of an extension cannot be given to one by a session that has
    -- not loaded it. They end with the transaction, and nothing else of ours walks such an index.
    perform pg_catalog.set_config('hnsw.iterative_scan', 'strict_order', true),
        pg_catalog.set_config('hnsw.max_scan_tuples', '20000', true),
        -- The larger the graph, and the more is wanted of it, the more of it has to be seen.
        pg_catalog.set_config('hnsw.ef_search', least(1000, greatest(
            64, 3 * match_count, index_rows / 400))::integer::text, true);
    -- Ids of scenes are random, so that the first are a fair sample. Compared as rows, for then the
    -- primary key alone has this order: another index would read through other owners' rows.
    select pg_catalog.percentile_cont(array[0.25, 0.5, 0.75]) within group (order by
        1 - (e.embedding::public.vector operator(public.<=>) query_embedding))
    into quartiles
    from (
        select s.embedding
        from public.scene_embeddings as s
        where (s.space_id, s.owner_id) >= (space, filter_user_id)
          and (s.space_id, s.owner_id) <= (space, filter_user_id)
        order by s.space_id, s.owner_id, s.scene_id
        limit 200
    ) as e;
    -- The quartiles of a normal scatter are 1.349 deviations apart, and a share p of it lies at most
    -- sqrt(2 ln(1 / p)) deviations beyond its middle.
    return quartiles[2] + (quartiles[3] - quartiles[1]) / 1.349
        * sqrt(2 * ln(greatest(index_rows / match_count, 1)));
end;
$$;
comment on function scenebook.least_certain_similarity is
    'Similarity down to which the answer of an owner''s own index may be trusted.';
revoke all on function scenebook.least_certain_similarity from public, anon;
grant execute on function scenebook.least_certain_similarity
    to authenticated, service_role, scenebook_api, scenebook_worker;
