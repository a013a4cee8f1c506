/** What the state of a channel says, in sentences and in names with values. */
import type { Channel, ChannelState, ChannelStatus } from "../api/types";
import { counted, day, duration } from "../format";

/** What each channel compares. */
export const WHAT: Record<Channel, string> = {
  visual_clip: "Compares the keyframes themselves with a query, by CLIP.",
  transcript: "Compares what is said, by meaning.",
  visual: "Compares the description of what is seen, by meaning.",
  summary: "Compares the summary of picture and speech, by meaning.",
};

const NOTHING: Record<Channel, string> = {
  visual_clip: "There is nothing to compare.",
  transcript: "Nothing is said in this scene.",
  visual: "There is no description of this scene.",
  summary: "There is no summary of this scene.",
};

const MEANINGS: Record<Exclude<ChannelStatus, "empty" | "disabled">, string> = {
  pending: "It waits for its turn.",
  ok: "This scene can be found by it.",
  skipped: "It was left out for this scene.",
  no_audio: "The video has no sound track.",
  silent: "The sound track has no speech.",
  no_frame: "No picture of this scene could be decoded.",
  unavailable: "What it needs could not be had when this was indexed.",
  load_error: "Its model did not load.",
  decode_error: "The picture or sound could not be decoded.",
  timeout: "It took too long and was given up.",
  circuit_open: "Its model failed too often in a row and was not asked.",
  error: "It failed.",
};

const OFF: Record<Channel, string> = {
  visual_clip: "Looking at pictures is turned off (CLIP_ENABLED).",
  transcript: "Transcription is turned off, and the video came without subtitles.",
  visual: "Descriptions are turned off; they need a vision model's key.",
  summary: "Summaries are turned off; they need a vision model's key.",
};

export function meaningOf(channel: Channel, { status }: ChannelState): string {
  if (status === "empty") return NOTHING[channel];
  return status === "disabled" ? OFF[channel] : MEANINGS[status];
}

/** The metadata that people ask for, with names that they read; the JSON has all of it. */
export function detailsOf({ metadata }: ChannelState): [string, string][] {
  const said = metadata as Record<string, unknown>;
  const dimensions = said.embed_dim ?? said.dimensions;
  const frames = Array.isArray(said.frames) ? said.frames.length : null;
  const all: [string, string | null][] = [
    ["Model", text(said.model_name ?? said.model)],
    ["Weights", text(said.pretrained)],
    ["Dimensions", text(dimensions)],
    ["Ran on", text(said.device)],
    [
      "Time taken",
      typeof said.inference_time_ms === "number" ? duration(said.inference_time_ms) : null,
    ],
    ["Pictures compared", text(frames)],
    [
      "Vector reused",
      said.reused === true ? "yes, an equal picture had been encoded before" : null,
    ],
    [
      "Text",
      typeof said.input_length === "number" ? counted(said.input_length, "character") : null,
    ],
    ["Pieces", text(said.pieces)],
    [
      "Keyframe described",
      typeof said.keyframe_rank === "number" ? `rank ${said.keyframe_rank + 1}` : null,
    ],
    [
      "Same as scene",
      typeof said.same_as_scene === "number" ? String(said.same_as_scene + 1) : null,
    ],
    ["Unusable answers", text(said.unusable_answers)],
    ["Made", typeof said.created_at === "string" ? day(said.created_at) : null],
  ];
  return all.filter((one): one is [string, string] => one[1] !== null);
}

function text(value: unknown): string | null {
  return value === undefined || value === null ? null : String(value);
}
