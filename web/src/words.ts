/** The API's names of channels, stages and statuses in words for people. */
import type { ChannelStatus, SearchChannel, Stage, VideoStatus } from "./api/types";

export const CHANNELS: Record<SearchChannel, string> = {
  visual_clip: "picture",
  transcript: "speech",
  visual: "description",
  summary: "summary",
  lexical: "words",
};

export const STAGES: Record<Stage, string> = {
  fetch: "fetch",
  probe: "probe",
  segment: "find scenes",
  transcribe: "transcribe",
  visual_clip: "look at pictures",
  describe: "describe",
  embed_text: "embed text",
  finalize: "finish",
  delete: "delete",
};

type Tone = "good" | "warn" | "bad" | "plain" | "";

export const VIDEO_STATUSES: Record<VideoStatus, { word: string; tone: Tone }> = {
  uploading: { word: "uploading", tone: "" },
  waiting: { word: "waiting", tone: "" },
  processing: { word: "processing", tone: "" },
  ready: { word: "ready", tone: "good" },
  partial: { word: "partial", tone: "warn" },
  failed: { word: "failed", tone: "bad" },
  cancelled: { word: "cancelled", tone: "plain" },
  deleting: { word: "deleting", tone: "plain" },
};

/** What each status of a channel means for its scene. */
export const CHANNEL_STATUSES: Record<ChannelStatus, { word: string; tone: Tone }> = {
  pending: { word: "pending", tone: "" },
  ok: { word: "ok", tone: "good" },
  empty: { word: "nothing to say", tone: "plain" },
  disabled: { word: "off", tone: "plain" },
  skipped: { word: "skipped", tone: "plain" },
  no_audio: { word: "no sound track", tone: "plain" },
  silent: { word: "silent", tone: "plain" },
  no_frame: { word: "no picture", tone: "warn" },
  unavailable: { word: "unavailable", tone: "warn" },
  load_error: { word: "model did not load", tone: "bad" },
  decode_error: { word: "undecodable", tone: "bad" },
  timeout: { word: "timed out", tone: "bad" },
  circuit_open: { word: "given up for now", tone: "bad" },
  error: { word: "error", tone: "bad" },
};
