/** The scenes of a video, page by page. */
import { api, data } from "./client";
import type { Scene } from "./types";

/** Pages of a video's scenes, in order. */
export async function* scenePages(
  videoId: string,
  signal: AbortSignal,
): AsyncGenerator<readonly Scene[]> {
  let token: string | null = null;
  do {
    const query: { limit: number; page_token: string | null } = { limit: 100, page_token: token };
    const page: { data: Scene[]; page: { next_token: string | null } } = await data(
      api.GET("/v1/videos/{video_id}/scenes", {
        params: { path: { video_id: videoId }, query },
        signal,
      }),
    );
    yield page.data;
    token = page.page.next_token;
  } while (token !== null);
}
