/** Which videos are shown: by a part of the title, and by where they stand. */
import { useEffect, useRef } from "preact/hooks";
import { useLocation } from "preact-iso";
import type { VideoStatus } from "../api/types";
import { usePause } from "../parts/pause";
import { VIDEO_STATUSES } from "../words";
import { type Filter, urlOf } from "./catalog";

const TYPED_MS = 250;
const STATUSES = ["ready", "partial", "failed", "processing", "waiting", "cancelled"] as const;

export function FilterBar({ filter }: { filter: Filter }) {
  const { route } = useLocation();
  const input = useRef<HTMLInputElement>(null);
  const pause = usePause(TYPED_MS);
  const go = (to: Partial<Filter>) => route(urlOf({ ...filter, ...to }), true);

  // A way back in the history brings its own title; what is being typed is left alone.
  useEffect(() => {
    const field = input.current;
    if (field && document.activeElement !== field) field.value = filter.title;
  }, [filter.title]);

  return (
    <search class="library-filter">
      <input
        ref={input}
        class="field"
        type="search"
        aria-label="Part of the title"
        placeholder="Part of the title"
        defaultValue={filter.title}
        onInput={({ currentTarget: { value } }) => {
          pause.after(() => go({ title: value }));
        }}
      />
      <select
        class="field"
        aria-label="State"
        value={filter.status ?? ""}
        onChange={({ currentTarget: { value } }) => {
          pause.cancel();
          go({ title: input.current?.value ?? "", status: (value as VideoStatus) || null });
        }}
      >
        <option value="">All states</option>
        {STATUSES.map((status) => (
          <option key={status} value={status}>
            {VIDEO_STATUSES[status].word}
          </option>
        ))}
      </select>
    </search>
  );
}
