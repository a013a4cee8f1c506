/** Search: what is looked for lives in the URL; whatever is found comes from it. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "preact-iso";
import { useTitle } from "../parts/title";
import { keep } from "../pictures";
import { asks, fromUrl, type Query, searchUrl } from "../query";
import { Attached } from "../search/Attached";
import { Balance } from "../search/Balance";
import { Box } from "../search/Box";
import { useDropped } from "../search/dropped";
import { Filters } from "../search/Filters";
import { Found } from "../search/Found";
import { filterCount, InForce } from "../search/InForce";
import { isPictureLost, useResults } from "../search/results";
import "./search.css";

export function Search() {
  const { query, go } = useQuery();
  useTitle(query.text ? `${query.text} · Search` : "Search");
  const results = useResults(query);
  const [isFiltering, setFiltering] = useState(false);
  const onPicture = (file: File) => go({ picture: keep(file), sceneId: null });
  const isOver = useDropped(onPicture);
  const top = useRef<HTMLHeadingElement>(null);
  const filters = filterCount(query);

  // "More like this" goes away with its card: on from the top, where its scene is shown.
  const isFirst = useRef(true);
  useEffect(() => {
    if (!isFirst.current && query.sceneId) {
      scrollTo({ top: 0 });
      top.current?.focus({ preventScroll: true });
    }
    isFirst.current = false;
  }, [query.sceneId]);

  return (
    <div class="search">
      <h1 ref={top} tabIndex={-1}>
        Search
      </h1>
      <Box
        text={query.text}
        onType={(text) => go({ text }, "typing")}
        onSearch={(text) => go({ text }) || results.again()}
        onPicture={onPicture}
      />
      <Attached query={query} onRemove={() => go({ picture: null, sceneId: null })} />
      <div class="search-options">
        <Balance
          query={query}
          onMode={(mode) => go({ mode, vision: null })}
          onShare={(vision) => go({ vision }, "replace")}
        />
        <button
          type="button"
          class="button"
          aria-expanded={isFiltering}
          aria-controls="filters"
          onClick={() => setFiltering(!isFiltering)}
        >
          Filters{filters > 0 && ` (${filters})`}
        </button>
      </div>
      {isFiltering && (
        <Filters query={query} tags={tagsOf(results.hits)} onChange={(change) => go(change)} />
      )}
      <InForce query={query} onChange={(change) => go(change)} />
      {asks(query) && !isPictureLost(query) ? (
        <Found query={query} results={results} onChange={(change) => go(change)} />
      ) : (
        !asks(query) && <Hints />
      )}
      {isOver && <p class="drop-here">Drop the picture to search for what looks like it</p>}
    </div>
  );
}

type How = "push" | "replace" | "typing";

/** The query of the URL, and the way to another; `go` says whether it is another one. */
function useQuery(): { query: Query; go: (change: Partial<Query>, how?: How) => boolean } {
  const { url, route } = useLocation();
  const query = useMemo(() => fromUrl(new URL(url, location.origin).search), [url]);
  const at = useRef(query);
  // More typing replaces what typing has put into the history.
  const typedUrl = useRef("");
  useEffect(() => {
    at.current = query;
  }, [query]);
  const go = (change: Partial<Query>, how: How = "push") => {
    const from = searchUrl(at.current);
    at.current = { ...at.current, ...change };
    const to = searchUrl(at.current);
    if (to === from && how === "push") typedUrl.current = "";
    if (to === from) return false;
    route(to, how === "replace" || (how === "typing" && typedUrl.current === from));
    typedUrl.current = how === "typing" ? to : "";
    return true;
  };
  return { query, go };
}

function tagsOf(hits: readonly { tags: string[] }[]): string[] {
  return [...new Set(hits.flatMap((hit) => hit.tags))].sort();
}

function Hints() {
  return (
    <ul class="hints soft">
      <li>
        <strong>Words</strong> find what is said, and what is seen: “a red circle”. Put “a phrase”
        in quotes, or leave words out with <code>-word</code>.
      </li>
      <li>
        <strong>A picture</strong> finds what looks like it. Drop one anywhere here, paste it, or
        choose it.
      </li>
      <li>
        <strong>Both</strong> together count half and half.
      </li>
    </ul>
  );
}
