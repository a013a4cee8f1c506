/** What the timeline strip draws: one cell a scene, or several scenes that have no room alone. */
import type { Scene } from "../api/types";
import type { Place } from "./relevance";

/** A cell is at least this wide, in pixels. */
const LEAST_PX = 4;

export interface Cell {
  /** Places in the list of scenes, the last one included. */
  from: number;
  to: number;
  left: number;
  width: number;
  startMs: number;
  endMs: number;
  /** The best of its scenes for the query. */
  best: Place | null;
  /** The scene whose pictures are shown: that one, or the first. */
  shown: Scene;
}

/** Cells that fill `width` pixels from left to right; scenes are put together where they must. */
export function cellsOf(
  scenes: readonly Scene[],
  durationMs: number,
  width: number,
  places: ReadonlyMap<string, Place>,
): Cell[] {
  const cells: Cell[] = [];
  const scale = width / durationMs;
  for (let from = 0; from < scenes.length; ) {
    const first = scenes[from] as Scene;
    let to = from;
    while (to + 1 < scenes.length && (at(scenes, to).end_ms - first.start_ms) * scale < LEAST_PX) {
      to++;
    }
    const endMs = at(scenes, to).end_ms;
    const [best, shown] = bestOf(scenes, from, to, places);
    cells.push({
      from,
      to,
      left: first.start_ms * scale,
      width: Math.max(1, (endMs - first.start_ms) * scale),
      startMs: first.start_ms,
      endMs,
      best,
      shown,
    });
    from = to + 1;
  }
  return cells;
}

/** URLs of as many of a scene's pictures as have room, the best ones, in the order of time. */
export function picturesOf({ shown, width }: Cell, leastPx: number, roomyPx: number): string[] {
  if (width < leastPx) return [];
  return shown.keyframes
    .slice(0, Math.max(1, Math.floor(width / roomyPx)))
    .toSorted((one, other) => one.at_ms - other.at_ms)
    .map(({ url }) => url);
}

/** The cell that has the scene at this place of the list; -1 if none has. */
export function cellWith(cells: readonly Cell[], scene: number): number {
  return cells.findIndex((cell) => cell.from <= scene && scene <= cell.to);
}

function bestOf(
  scenes: readonly Scene[],
  from: number,
  to: number,
  places: ReadonlyMap<string, Place>,
): [Place | null, Scene] {
  let [best, shown]: [Place | null, Scene] = [null, at(scenes, from)];
  for (let index = from; index <= to; index++) {
    const place = places.get(at(scenes, index).id);
    if (place && (best === null || place.rank < best.rank)) {
      [best, shown] = [place, at(scenes, index)];
    }
  }
  return [best, shown];
}

function at(scenes: readonly Scene[], index: number): Scene {
  return scenes[index] as Scene;
}
