/** What narrows the search, each with its way out. */

import { NOTHING, type Query } from "../query";
import { useTitles } from "./titles";

interface Properties {
  query: Query;
  onChange: (change: Partial<Query>) => void;
}

/** The query as it is without anything that narrows it. */
export const UNFILTERED: Partial<Query> = {
  videoIds: [],
  tags: [],
  hasSpeech: null,
  minDurationS: null,
  maxDurationS: null,
};

/** How many filters a query has. */
export function filterCount(query: Query): number {
  const { videoIds, tags, hasSpeech, minDurationS, maxDurationS } = query;
  const others = [hasSpeech, minDurationS ?? maxDurationS].filter((one) => one !== null);
  return videoIds.length + tags.length + others.length;
}

export function InForce({ query, onChange }: Properties) {
  const titleOf = useTitles(query.videoIds);
  const chips = chipsOf(query, titleOf);
  if (chips.length === 0) return null;
  return (
    <ul class="chips" aria-label="In force">
      {chips.map(({ key, text, without }) => (
        <li key={key}>
          <button type="button" class="chip" onClick={() => onChange(without)}>
            <span class="hidden-but-read">Remove: </span>
            <span>{text}</span>
            <span aria-hidden="true">×</span>
          </button>
        </li>
      ))}
      {chips.length > 1 && (
        <li>
          <button
            type="button"
            class="button quiet small"
            onClick={() => onChange({ ...UNFILTERED, groupBy: NOTHING.groupBy })}
          >
            Clear all
          </button>
        </li>
      )}
    </ul>
  );
}

interface Chip {
  key: string;
  text: string;
  without: Partial<Query>;
}

function chipsOf(query: Query, titleOf: (id: string) => string): Chip[] {
  const { videoIds, tags, hasSpeech, groupBy } = query;
  const chips: Chip[] = [];
  const add = (key: string, text: string | false, without: Partial<Query>) =>
    text && chips.push({ key, text, without });
  const but = (list: readonly string[], one: string) => list.filter((other) => other !== one);
  for (const id of videoIds) add(id, titleOf(id), { videoIds: but(videoIds, id) });
  for (const tag of tags) add(`tag ${tag}`, `tag ${tag}`, { tags: but(tags, tag) });
  const speech = hasSpeech ? "with speech" : "without speech";
  add("speech", hasSpeech !== null && speech, { hasSpeech: null });
  add("length", lengthOf(query), { minDurationS: null, maxDurationS: null });
  add("by", groupBy !== NOTHING.groupBy && `one hit a ${groupBy}`, { groupBy: NOTHING.groupBy });
  return chips;
}

function lengthOf({ minDurationS: from, maxDurationS: to }: Query): string | false {
  if (from !== null && to !== null) return `${from} to ${to} s long`;
  if (from !== null) return `${from} s or longer`;
  return to !== null && `up to ${to} s long`;
}
