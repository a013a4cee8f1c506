/** Buttons under the video, and the keys that do the same. */
import type { Shortcut } from "./keys";
import { shortcutsOn, turnShortcuts } from "./keys";
import type { Playback } from "./playback";
import { momentOf, type Relevance } from "./relevance";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];
/** A hit this near counts as reached. */
const REACHED_MS = 250;

interface Properties {
  playback: Playback;
  relevance: Relevance;
  asked: boolean;
  shortcuts: readonly Shortcut[];
}

export function Controls({ playback, relevance, asked, shortcuts }: Properties) {
  const none = relevance.inTime.length === 0;
  return (
    <div class="controls">
      <div class="row">
        <button
          type="button"
          class="button small play"
          disabled={!playback.playable.value}
          onClick={() => playback.toggle()}
        >
          {playback.playing.value ? "Pause" : "Play"}
        </button>
        <label class="speed small">
          Speed
          <select
            class="field"
            disabled={!playback.playable.value}
            onChange={(event) => {
              playback.rate = Number(event.currentTarget.value);
            }}
          >
            {SPEEDS.map((times) => (
              <option key={times} value={times} selected={times === 1}>
                {times} ×
              </option>
            ))}
          </select>
        </label>
        {asked && (
          <div class="hit-buttons">
            <button
              type="button"
              class="button small"
              disabled={none}
              onClick={() => previousHit(playback, relevance)}
            >
              Previous hit
            </button>
            <button
              type="button"
              class="button small"
              disabled={none}
              onClick={() => nextHit(playback, relevance)}
            >
              Next hit
            </button>
            <button
              type="button"
              class="button small"
              disabled={none}
              onClick={() => bestHit(playback, relevance)}
            >
              Best hit
            </button>
          </div>
        )}
      </div>
      <Keys shortcuts={shortcuts} />
    </div>
  );
}

function Keys({ shortcuts }: { shortcuts: readonly Shortcut[] }) {
  return (
    <details class="keys small">
      <summary>Keyboard shortcuts</summary>
      <dl>
        {shortcuts.map(({ shown, does }) => (
          <div key={shown}>
            <dt>
              <kbd>{shown}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <label>
        <input
          type="checkbox"
          checked={shortcutsOn.value}
          onChange={(event) => turnShortcuts(event.currentTarget.checked)}
        />{" "}
        Use these keys
      </label>
    </details>
  );
}

/** The keys of the player; hits are taken in the order of time, and after the last comes the first. */
export function shortcutsOf(playback: Playback, relevance: Relevance): Shortcut[] {
  return [
    { keys: [" ", "k"], shown: "Space or K", does: "play or pause", run: () => playback.toggle() },
    { keys: ["n"], shown: "N", does: "next hit", run: () => nextHit(playback, relevance) },
    { keys: ["p"], shown: "P", does: "previous hit", run: () => previousHit(playback, relevance) },
    { keys: ["b"], shown: "B", does: "best hit", run: () => bestHit(playback, relevance) },
    { keys: ["ArrowLeft"], shown: "←", does: "5 s back", run: () => playback.by(-5000) },
    { keys: ["ArrowRight"], shown: "→", does: "5 s on", run: () => playback.by(5000) },
    { keys: ["j"], shown: "J", does: "10 s back", run: () => playback.by(-10_000) },
    { keys: ["l"], shown: "L", does: "10 s on", run: () => playback.by(10_000) },
    { keys: ["m"], shown: "M", does: "sound on or off", run: () => playback.toggleMuted() },
    { keys: ["f"], shown: "F", does: "whole screen", run: () => playback.toggleFullscreen() },
  ];
}

function nextHit(playback: Playback, { inTime }: Relevance): void {
  const after = playback.timeMs.value + REACHED_MS;
  const place = inTime.find((one) => momentOf(one) > after) ?? inTime[0];
  if (place) playback.seek(momentOf(place));
}

function previousHit(playback: Playback, { inTime }: Relevance): void {
  // While it plays, the hit that was just passed is the one before this time.
  const before = playback.timeMs.value - (playback.playing.value ? 1500 : REACHED_MS);
  const place = inTime.findLast((one) => momentOf(one) < before) ?? inTime.at(-1);
  if (place) playback.seek(momentOf(place));
}

function bestHit(playback: Playback, { best }: Relevance): void {
  if (best) playback.seek(momentOf(best));
}
