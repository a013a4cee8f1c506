/** The scenes of a video, page by page. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { api, data, isAborted, Problem } from "../api/client";
import type { Scene } from "../api/types";

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

export interface Scenes {
  list: readonly Scene[];
  /** Whether the list is whole. */
  whole: boolean;
  error: unknown;
  again: () => void;
}

const NONE: Omit<Scenes, "again"> = { list: [], whole: false, error: undefined };

/** All scenes of a video; the list grows as its pages come. */
export function useScenes(videoId: string): Scenes {
  const [state, setState] = useState(NONE);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const ended = new AbortController();
    collect(videoId, ended.signal, setState).catch((error) => {
      if (ended.signal.aborted || isAborted(error)) return;
      setState((was) => ({ ...was, error }));
    });
    return () => ended.abort();
  }, [videoId, round]);
  return { ...state, again: useCallback(() => setRound((n) => n + 1), []) };
}

async function collect(
  videoId: string,
  signal: AbortSignal,
  show: (state: Omit<Scenes, "again">) => void,
): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      let list: readonly Scene[] = [];
      for await (const page of scenePages(videoId, signal)) {
        if (signal.aborted) return;
        list = [...list, ...page];
        show({ list, whole: false, error: undefined });
      }
      return show({ list, whole: true, error: undefined });
    } catch (error) {
      // The video was indexed anew between two pages: begin again, once.
      if (attempt > 0 || !(error instanceof Problem && error.status === 410)) throw error;
    }
  }
}

/** The place in the list of the scene at a time; the nearest before it, -1 without any. */
export function sceneAt(scenes: readonly { start_ms: number }[], ms: number): number {
  let [low, high] = [0, scenes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((scenes[middle]?.start_ms ?? 0) <= ms) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
