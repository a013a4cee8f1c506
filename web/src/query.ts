/** A search as the URL holds it, so that it can be shared, and as the API takes it. */
import type { SearchRequest } from "./api/types";

export type Mode = NonNullable<SearchRequest["mode"]>;
export type GroupBy = NonNullable<SearchRequest["group_by"]>;

export const MODES: readonly Mode[] = ["balanced", "vision_heavy", "text_heavy", "visual_only"];
export const GROUPS: readonly GroupBy[] = ["scene", "moment", "video"];

/** What each mode makes of the share of what is seen (scenebook/queries.py). */
export const VISION_SHARES: Record<Mode, number> = {
  balanced: 0.5,
  vision_heavy: 0.7,
  text_heavy: 0.3,
  visual_only: 1,
};

export interface Query {
  text: string;
  /** Scenes like this one. */
  sceneId: string | null;
  /** A picture of this visit (see pictures.ts); a link to it works in this tab only. */
  picture: string | null;
  mode: Mode;
  /** Share of what is seen, 0 to 1; it wins over the mode. */
  vision: number | null;
  groupBy: GroupBy;
  videoIds: string[];
  tags: string[];
  minDurationS: number | null;
  maxDurationS: number | null;
  hasSpeech: boolean | null;
}

export const NOTHING: Query = {
  text: "",
  sceneId: null,
  picture: null,
  mode: "balanced",
  vision: null,
  groupBy: "scene",
  videoIds: [],
  tags: [],
  minDurationS: null,
  maxDurationS: null,
  hasSpeech: null,
};

/** Whether there is something to look for. */
export function asks(query: Query): boolean {
  return query.text.trim() !== "" || query.sceneId !== null || query.picture !== null;
}

/** Whether what is said counts against what is seen: a picture or scene alone is only seen. */
export function weighs(query: Query): boolean {
  return query.text.trim() !== "" || !asks(query);
}

/** The share of what is seen that is in force. */
export function visionShare(query: Query): number {
  return query.vision ?? VISION_SHARES[query.mode];
}

/** The query of a URL; what it says wrongly is left out. */
export function fromUrl(search: string): Query {
  const given = new URLSearchParams(search);
  return {
    text: given.get("q") ?? "",
    sceneId: given.get("like"),
    picture: given.get("picture"),
    mode: oneOf(MODES, given.get("mode")) ?? "balanced",
    vision: numberIn(given.get("vision"), 0, 1),
    groupBy: oneOf(GROUPS, given.get("by")) ?? "scene",
    videoIds: given.getAll("video"),
    tags: given.getAll("tag"),
    minDurationS: numberIn(given.get("min"), 0, 1e6),
    maxDurationS: numberIn(given.get("max"), 0, 1e6),
    hasSpeech: given.has("speech") ? given.get("speech") === "yes" : null,
  };
}

/** The URL's parameters of a query, defaults left out. */
export function toParams(query: Query): URLSearchParams {
  const params = new URLSearchParams();
  const set = (name: string, value: string | null) => value && params.set(name, value);
  set("q", query.text.trim());
  set("like", query.sceneId);
  set("picture", query.picture);
  set("mode", query.mode === "balanced" ? null : query.mode);
  set("vision", query.vision === null ? null : String(query.vision));
  set("by", query.groupBy === "scene" ? null : query.groupBy);
  for (const id of query.videoIds) params.append("video", id);
  for (const tag of query.tags) params.append("tag", tag);
  set("min", query.minDurationS === null ? null : String(query.minDurationS));
  set("max", query.maxDurationS === null ? null : String(query.maxDurationS));
  set("speech", query.hasSpeech === null ? null : query.hasSpeech ? "yes" : "no");
  return params;
}

/** Where a query is asked. */
export function searchUrl(query: Query): string {
  const params = toParams(query).toString();
  return params ? `/search?${params}` : "/search";
}

/** Where a video is played from an instant, with the query that found it. */
export function playUrl(videoId: string, ms: number, query: Query): string {
  const params = toParams(query).toString();
  return `/videos/${videoId}?t=${ms}${params && `&${params}`}`;
}

/** The body of POST /v1/search; a picture is sent beside it. */
export function toRequest(query: Query): SearchRequest {
  const ms = (seconds: number | null) => (seconds === null ? null : Math.round(seconds * 1000));
  return {
    text: query.text.trim() || null,
    scene_id: query.sceneId,
    mode: query.mode,
    vision_share: weighs(query) ? query.vision : null,
    group_by: query.groupBy,
    filters: {
      video_ids: query.videoIds.length ? query.videoIds : null,
      tags: query.tags.length ? query.tags : null,
      min_duration_ms: ms(query.minDurationS),
      max_duration_ms: ms(query.maxDurationS),
      has_speech: query.hasSpeech,
    },
  } as SearchRequest;
}

function oneOf<T extends string>(options: readonly T[], given: string | null): T | null {
  return options.find((option) => option === given) ?? null;
}

function numberIn(given: string | null, least: number, most: number): number | null {
  const number = Number(given);
  return given === null || given === "" || !(number >= least && number <= most) ? null : number;
}
