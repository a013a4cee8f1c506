/** The scenes before and after one of them. */
import { scenePages } from "../api/scenes";
import type { Scene } from "../api/types";

export interface Neighbours {
  before: string | null;
  after: string | null;
}

export async function neighboursOf(scene: Scene, signal: AbortSignal): Promise<Neighbours> {
  const found: Neighbours = { before: null, after: null };
  for await (const page of scenePages(scene.video_id, signal)) {
    for (const one of page) {
      if (one.scene_index === scene.scene_index - 1) found.before = one.id;
      if (one.scene_index === scene.scene_index + 1) found.after = one.id;
    }
    if (found.after) break;
  }
  return found;
}
