/** The API's shapes under the names that the page uses. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Video = Schemas["VideoOut"];
export type VideoDetail = Schemas["VideoDetailOut"];
/** Where a video stands, as its events tell. */
export type Progress = Pick<
  VideoDetail,
  "status" | "reason" | "stage" | "progress" | "eta_s" | "stages" | "channels" | "coverage"
>;
export type VideoStatus = Schemas["VideoStatus"];
export type Stage = Schemas["Stage"];
export type StageProgress = Schemas["StageOut"];
export type Scene = Schemas["SceneOut"];
export type Keyframe = Schemas["KeyframeOut"];
export type ChannelState = Schemas["ChannelOut"];
export type ChannelStatus = Schemas["ChannelStatus"];
export type Channel = Schemas["Channel"];
export type SearchChannel = Schemas["SearchChannel"];
export type SearchRequest = Schemas["SearchIn"];
export type SearchAnswer = Schemas["SearchOut"];
export type Hit = Schemas["HitOut"];
export type Reason = Schemas["ReasonOut"];
export type Utterance = Schemas["UtteranceOut"];
export type Me = Schemas["MeOut"];

/** Statuses in which nothing more happens by itself. */
export const SETTLED: ReadonlySet<VideoStatus> = new Set([
  "ready",
  "partial",
  "failed",
  "cancelled",
]);
