/** Words of a query in what is said. */
import type { Hit } from "../api/types";

/** A piece of a line: what is to be marked, or what stands between. */
export interface Piece {
  text: string;
  marked: boolean;
}

// Shorter words of a query are articles and the like.
const LEAST_LETTERS = 3;
const WORD = /[\p{L}\p{N}]+/gu;

/**
 * The words to mark, in lower case: those that the search found in this video's transcript (it
 * knows the language), else those of the query itself.
 */
export function wordsToMark(text: string, hits: Iterable<Hit>): ReadonlySet<string> {
  const found = new Set<string>();
  for (const { transcript } of hits) {
    // Places are counted in characters, as Python does; JavaScript's strings have UTF-16 units.
    const letters = transcript?.highlights.length ? [...transcript.text] : [];
    for (const { start, end } of transcript?.highlights ?? []) {
      for (const word of letters.slice(start, end).join("").match(WORD) ?? []) {
        found.add(word.toLowerCase());
      }
    }
  }
  if (found.size) return found;
  const asked = text.replace(/(^|\s)-\S+/g, " ").match(WORD) ?? [];
  return new Set(asked.map((word) => word.toLowerCase()).filter((w) => w.length >= LEAST_LETTERS));
}

/** A line, cut where marks begin and end. */
export function pieces(line: string, words: ReadonlySet<string>): Piece[] {
  if (words.size === 0) return [{ text: line, marked: false }];
  const cut: Piece[] = [];
  let done = 0;
  for (const match of line.matchAll(WORD)) {
    if (!words.has(match[0].toLowerCase())) continue;
    if (match.index > done) cut.push({ text: line.slice(done, match.index), marked: false });
    cut.push({ text: match[0], marked: true });
    done = match.index + match[0].length;
  }
  if (done < line.length) cut.push({ text: line.slice(done), marked: false });
  return cut;
}
