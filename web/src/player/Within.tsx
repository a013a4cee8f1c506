/** The search within this video: a box, and what it found here. */
import { useEffect, useState } from "preact/hooks";
import { detailOf } from "../api/client";
import type { SearchChannel } from "../api/types";
import { counted } from "../format";
import type { Query } from "../query";
import { CHANNELS } from "../words";
import type { Relevance } from "./relevance";

interface Properties {
  query: Query;
  asked: boolean;
  /** undefined while it is searched. */
  found: Relevance | undefined;
  error: unknown;
  again: () => void;
  change: (query: Partial<Query>) => void;
}

export function Within({ query, asked, found, error, again, change }: Properties) {
  const [text, setText] = useState(query.text);
  useEffect(() => setText(query.text), [query.text]);
  return (
    <search class="within">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          change({ text });
        }}
      >
        <label class="hidden-but-read" for="within">
          Search in this video
        </label>
        <input
          id="within"
          class="field"
          type="search"
          placeholder="Search in this video"
          autocomplete="off"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit" class="button primary">
          Search
        </button>
      </form>
      <div class="found small">
        <span role="status">
          {asked &&
            !error &&
            (found ? `${counted(found.inTime.length, "hit")} here` : "Searching…")}
        </span>
        {asked && error !== undefined && (
          <span role="alert">
            {detailOf(error)}{" "}
            <button type="button" class="button small" onClick={again}>
              Try again
            </button>
          </span>
        )}
        {query.sceneId && (
          <Besides
            label="Like a scene"
            href={`/scenes/${query.sceneId}`}
            remove={() => change({ sceneId: null })}
          />
        )}
        {query.picture && (
          <Besides label="Like a picture" remove={() => change({ picture: null })} />
        )}
        {found?.degraded.map(({ channel, reason }) => (
          <span key={channel} class="badge warn" title={reason}>
            without {CHANNELS[channel as SearchChannel] ?? channel}: {reason}
          </span>
        ))}
      </div>
    </search>
  );
}

/** What is asked besides a text, and a way to leave it out. */
function Besides({ label, href, remove }: { label: string; href?: string; remove: () => void }) {
  return (
    <span class="besides">
      {href ? <a href={href}>{label}</a> : label}
      <button type="button" class="button quiet small" onClick={remove}>
        <span aria-hidden="true">×</span>
        <span class="hidden-but-read">Leave out “{label}”</span>
      </button>
    </span>
  );
}
