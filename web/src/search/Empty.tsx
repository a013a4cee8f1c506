/** A search without hits: what was searched, and what could be tried. */
import type { SearchAnswer } from "../api/types";
import { counted } from "../format";
import type { Query } from "../query";
import { CHANNELS } from "../words";
import { filterCount, UNFILTERED } from "./InForce";
import { askedChannels } from "./worth";

interface Properties {
  query: Query;
  answer: SearchAnswer;
  onChange: (change: Partial<Query>) => void;
}

export function Empty({ query, answer, onChange }: Properties) {
  const { pool } = answer;
  if (pool.videos === 0) {
    return (
      <div class="panel empty">
        <p>There are no videos yet.</p>
        <a class="button primary" href="/">
          Add videos in the library
        </a>
      </div>
    );
  }
  const searched = askedChannels(answer).map(
    (one) => `${CHANNELS[one.channel]} in ${counted(one.scenes, "scene")}`,
  );
  const filters = filterCount(query);
  return (
    <div class="panel empty">
      <p>
        <strong>No scene matches{query.text && ` “${query.text}”`}.</strong>
      </p>
      <p class="soft">
        {searched.length > 0 && `Searched: ${searched.join(", ")}; `}
        {counted(pool.scenes, "scene")} of {counted(pool.videos, "video")} in all
        {filters > 0 && `, narrowed by ${counted(filters, "filter")}`}.
      </p>
      <p class="row">
        {filters > 0 && (
          <button type="button" class="button" onClick={() => onChange(UNFILTERED)}>
            Search without filters
          </button>
        )}
        {query.text && query.mode !== "visual_only" && query.vision !== 1 && (
          <button
            type="button"
            class="button"
            onClick={() => onChange({ mode: "visual_only", vision: null })}
          >
            Look at pictures only
          </button>
        )}
        {(query.mode !== "balanced" || query.vision !== null) && (
          <button
            type="button"
            class="button"
            onClick={() => onChange({ mode: "balanced", vision: null })}
          >
            Search words and pictures
          </button>
        )}
        {query.text && <span class="soft">Or try fewer or other words.</span>}
      </p>
    </div>
  );
}
