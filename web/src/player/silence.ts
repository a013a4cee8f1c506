/** Why there is no transcript, in words. */
import { type ChannelStatus, SETTLED, type VideoDetail } from "../api/types";
import { counted } from "../format";

/** Why a scene has no words, by the status of its transcript. */
export const WHY_SILENT: Record<ChannelStatus, string> = {
  pending: "The words are not embedded yet.",
  ok: "Nothing is said.",
  empty: "Nothing is said.",
  disabled: "Transcription is turned off, and the video came without subtitles.",
  skipped: "Transcription was skipped.",
  no_audio: "The video has no sound track.",
  silent: "The sound track has no speech.",
  no_frame: "There is no picture.",
  unavailable:
    "The speech model could not be used when this was indexed. Index again what is missing when " +
    "it can, or add the video again with a subtitle file.",
  load_error: "The speech model did not load.",
  decode_error: "The sound could not be decoded.",
  timeout: "Transcription took too long and was given up.",
  circuit_open: "Transcription failed too often in a row and was given up for now.",
  error: "Transcription failed.",
};

/** What to say in place of a transcript that has no lines. */
export function whySilent(video: VideoDetail): string {
  const counts = Object.entries(video.channels.transcript ?? {}).filter(([, count]) => count > 0);
  if (counts.length === 0) {
    return SETTLED.has(video.status)
      ? "There is no transcript: the video was not indexed that far."
      : "The transcript comes when the video has been listened to.";
  }
  const scenes = new Map<string, number>();
  for (const [status, count] of counts) {
    const why = WHY_SILENT[status as ChannelStatus];
    scenes.set(why, (scenes.get(why) ?? 0) + count);
  }
  if (scenes.size === 1) return [...scenes.keys()].join();
  return [...scenes].map(([why, count]) => `${counted(count, "scene")}: ${why}`).join(" ");
}
