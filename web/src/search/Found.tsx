/** What was found: how much, what it is worth, the hits, and more of them. */
import { useEffect, useRef } from "preact/hooks";
import { counted } from "../format";
import { Failure } from "../parts/Message";
import type { Query } from "../query";
import { moveAmong } from "./arrows";
import { Empty } from "./Empty";
import { HitCard } from "./HitCard";
import type { Results } from "./results";
import "./found.css";
import { How, Remarks } from "./Worth";

/** Cards above the fold on most screens. */
const EAGER = 8;

interface Properties {
  query: Query;
  results: Results;
  onChange: (change: Partial<Query>) => void;
}

export function Found({ query, results, onChange }: Properties) {
  const { answer, hits, loading, error } = results;
  const isWaiting = loading && !answer;
  return (
    <section class={loading && answer ? "found stale" : "found"} aria-busy={loading}>
      <div class="found-head">
        <h2>
          <output>{statusOf(query, results)}</output>
        </h2>
        {answer && <How answer={answer} />}
      </div>
      {answer && <Remarks answer={answer} />}
      {error !== undefined && <Failure error={error} retry={results.again} />}
      {isWaiting && <Skeletons />}
      {answer && hits.length === 0 && <Empty query={query} answer={answer} onChange={onChange} />}
      {answer && hits.length > 0 && (
        // Cards that stood elsewhere before do not move: those of another answer are others.
        <Grid key={answer.timing_ms.total} query={query} results={results} />
      )}
    </section>
  );
}

/** What is announced. */
function statusOf(query: Query, { answer, hits, loading, next, error }: Results): string {
  if (loading) return "Searching…";
  if (error !== undefined) return "The search failed.";
  if (!answer) return "";
  if (hits.length === 0) return "Nothing was found.";
  const found = counted(hits.length, query.groupBy);
  return next === null ? `${found} found` : `The best ${found}`;
}

function Grid({ query, results }: { query: Query; results: Results }) {
  const { hits, next, adding } = results;
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => {
    const grid = list.current;
    const press = (event: KeyboardEvent) => grid && moveAmong(grid, ".hit-play", event);
    grid?.addEventListener("keydown", press);
    return () => grid?.removeEventListener("keydown", press);
  }, []);
  return (
    <>
      <ul class="hits" ref={list}>
        {hits.map((hit, place) => (
          <li key={hit.scene_id} data-hit>
            <HitCard hit={hit} query={query} eager={place < EAGER} />
          </li>
        ))}
      </ul>
      {next !== null && (
        <button type="button" class="button more" onClick={() => adding || results.more()}>
          {adding ? "Loading…" : "Show more"}
        </button>
      )}
    </>
  );
}

/** Cards without content, of the size of those that are coming. */
function Skeletons() {
  return (
    <ul class="hits" aria-hidden="true">
      {Array.from({ length: EAGER }, (_, place) => place).map((place) => (
        <li key={place}>
          <div class="hit skeleton">
            <div class="thumbnail" />
            <span />
            <span class="skeleton-badge" />
          </div>
        </li>
      ))}
    </ul>
  );
}
