/** What a person does with a video: retry, cancel, rename. Errors are told in the API's words. */
import { api, data, detailOf } from "../api/client";
import type { Channel, Stage, VideoDetail } from "../api/types";
import { toast } from "../shell/toasts";
import type { Catalog } from "./catalog";
import type { Shown } from "./shown";

/** What is to be done again: one stage, one channel, or all that failed. */
export type Again = { stage: Stage } | { channel: Channel } | Record<string, never>;

export async function retry(catalog: Catalog, video: Shown, again: Again): Promise<void> {
  const params = { path: { video_id: video.id } };
  const call = api.POST("/v1/videos/{video_id}/retry", { params, body: again });
  await change(catalog, video, "is not tried again", data(call));
}

export async function cancel(catalog: Catalog, video: Shown): Promise<void> {
  const params = { path: { video_id: video.id } };
  const call = api.POST("/v1/videos/{video_id}/cancel", { params });
  await change(catalog, video, "is not cancelled", data(call));
}

/** Whether the title was taken. */
export async function rename(catalog: Catalog, video: Shown, title: string): Promise<boolean> {
  const params = { path: { video_id: video.id } };
  const call = api.PATCH("/v1/videos/{video_id}", { params, body: { title } });
  return change(catalog, video, "keeps its title", data(call));
}

async function change(
  catalog: Catalog,
  video: Shown,
  otherwise: string,
  call: Promise<Partial<VideoDetail> & { id: string }>,
): Promise<boolean> {
  try {
    catalog.put(await call);
    return true;
  } catch (error) {
    toast(`“${video.title}” ${otherwise}. ${detailOf(error)}`, { tone: "bad" });
    return false;
  }
}
