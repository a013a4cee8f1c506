/** The scenes of a video, as far as they are loaded. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { isAborted, Problem } from "../api/client";
import { scenePages } from "../api/scenes";
import type { Scene } from "../api/types";

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
