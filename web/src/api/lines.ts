/** The lines of a video's transcript. */
import { api, data } from "./client";
import type { Utterance } from "./types";

export async function linesOf(videoId: string, signal: AbortSignal): Promise<readonly Utterance[]> {
  const params = { path: { video_id: videoId }, query: { format: "json" as const } };
  const call = api.GET("/v1/videos/{video_id}/transcript", { params, signal });
  // The route also answers with files, which have no type; asked for JSON, it gives lines.
  return ((await data(call)) as { utterances: Utterance[] }).utterances;
}
