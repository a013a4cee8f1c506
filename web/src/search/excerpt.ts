/** The part of a transcript that shows why it was found. */
import type { Hit } from "../api/types";

type Transcript = NonNullable<Hit["transcript"]>;

export interface Piece {
  text: string;
  isMarked: boolean;
}

/** Code points that a card has room for, and those before the first highlight. */
const LENGTH = 150;
const BEFORE = 40;

/** The words around the first highlight, in pieces. Places count code points, as the API does. */
export function excerpt({ text, highlights }: Transcript): Piece[] {
  const all = [...text];
  const [from, to] = around(all, highlights[0]?.start ?? 0);
  const pieces: Piece[] = [];
  const add = (start: number, end: number, isMarked: boolean) => {
    if (end > start) pieces.push({ text: all.slice(start, end).join(""), isMarked });
  };
  if (from > 0) pieces.push({ text: "… ", isMarked: false });
  let at = from;
  for (const { start, end } of highlights) {
    if (start < at || start >= to) continue;
    add(at, start, false);
    at = Math.min(end, to);
    add(start, at, true);
  }
  add(at, to, false);
  if (to < all.length) pieces.push({ text: " …", isMarked: false });
  return pieces;
}

/** A part of the text with this place in it, from the beginning of a word to the end of one. */
function around(all: string[], place: number): [number, number] {
  if (all.length <= LENGTH) return [0, all.length];
  const isSpace = (at: number) => (all[at] ?? " ").trim() === "";
  let from = Math.max(0, Math.min(place - BEFORE, all.length - LENGTH));
  while (from > 0 && from < place && !isSpace(from - 1)) from++;
  let to = Math.min(all.length, from + LENGTH);
  while (to > place + 1 && !isSpace(to)) to--;
  return [from, to];
}
