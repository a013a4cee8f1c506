/** Which scenes of a video answer a query, and how well. */
import { search } from "../api/search";
import type { Hit, SearchAnswer, SearchRequest } from "../api/types";
import { asks, type Query, toRequest } from "../query";

export interface Place {
  /** 1-based, best first. */
  rank: number;
  level: Level;
  hit: Hit;
}

export interface Relevance {
  places: ReadonlyMap<string, Place>;
  /** The same in the order of time. */
  inTime: readonly Place[];
  best: Place | null;
  degraded: SearchAnswer["degraded"];
}

/** 3 is best; the legend says what each of them means. */
export type Level = 1 | 2 | 3;

export const LEVELS: readonly { level: Level; upTo: number; label: string }[] = [
  { level: 3, upTo: 3, label: "best 3" },
  { level: 2, upTo: 10, label: "4th to 10th" },
  { level: 1, upTo: Number.POSITIVE_INFINITY, label: "further hits" },
];

const MOST_PAGES = 50;
export const NOT_ASKED: Relevance = {
  places: new Map(),
  inTime: [],
  best: null,
  degraded: [],
};

/** The moment to go to. */
export function momentOf({ hit }: Place): number {
  return hit.matched_ms ?? hit.start_ms;
}

/** Where the query is answered in this video; all pages of it. */
export async function relevanceIn(
  videoId: string,
  query: Query,
  signal: AbortSignal,
): Promise<Relevance> {
  if (!asks(query)) return NOT_ASKED;
  const asked = toRequest(query);
  const body: SearchRequest = {
    ...asked,
    group_by: "scene",
    limit: 100,
    filters: { ...asked.filters, video_ids: [videoId] },
  };
  const hits: Hit[] = [];
  let answer = await search(query, body, signal);
  const { degraded } = answer;
  for (let page = 1; ; page++) {
    hits.push(...answer.data);
    const token = answer.page.next_token;
    if (token === null || page === MOST_PAGES) break;
    answer = await search(query, { ...body, page_token: token }, signal);
  }
  return ordered(hits, degraded);
}

function ordered(hits: readonly Hit[], degraded: Relevance["degraded"]): Relevance {
  const places = hits.map((hit, index) => ({ hit, rank: index + 1, level: levelOf(index + 1) }));
  return {
    places: new Map(places.map((place) => [place.hit.scene_id, place])),
    inTime: places.toSorted((one, other) => momentOf(one) - momentOf(other)),
    best: places[0] ?? null,
    degraded,
  };
}

function levelOf(rank: number): Level {
  return LEVELS.find(({ upTo }) => rank <= upTo)?.level ?? 1;
}
