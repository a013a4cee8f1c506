/** How much what is seen counts against what is said: a mode, or any share of it. */
import { useEffect, useState } from "preact/hooks";
import { percent } from "../format";
import { type Mode, type Query, VISION_SHARES, visionShare, weighs } from "../query";
import { Choice } from "./Choice";
import "./options.css";
import { usePause } from "../parts/pause";

const SLIDING_MS = 200;
const MODES: { value: Mode; label: string }[] = [
  { value: "balanced", label: "Balanced" },
  { value: "text_heavy", label: "Words first" },
  { value: "vision_heavy", label: "Pictures first" },
  { value: "visual_only", label: "Pictures only" },
];

interface Properties {
  query: Query;
  onMode: (mode: Mode) => void;
  onShare: (share: number | null) => void;
}

export function Balance({ query, onMode, onShare }: Properties) {
  const inForce = visionShare(query);
  const [share, setShare] = useState(inForce);
  const pause = usePause(SLIDING_MS);
  useEffect(() => setShare(inForce), [inForce]);
  const isFixed = !weighs(query);

  const slide = (percentage: number) => {
    setShare(percentage / 100);
    pause.after(() => onShare(percentage / 100));
  };
  return (
    <>
      <Choice
        legend="Mode"
        name="mode"
        value={query.vision === null && !isFixed ? query.mode : null}
        disabled={isFixed}
        onChoose={onMode}
        options={MODES.map((mode) => ({ ...mode, title: shares(VISION_SHARES[mode.value]) }))}
      />
      {isFixed ? (
        <p class="balance-slider">Only pictures are compared. Add words to balance both.</p>
      ) : (
        <div class="balance-slider">
          <label for="vision">Words</label>
          <input
            id="vision"
            type="range"
            min={0}
            max={100}
            step={5}
            value={Math.round(share * 100)}
            aria-label="Share of what is seen"
            aria-valuetext={shares(share)}
            onInput={(event) => slide(event.currentTarget.valueAsNumber)}
          />
          <span aria-hidden="true">Pictures</span>
          <output for="vision" aria-hidden="true">
            {percent(share)}
          </output>
          <button
            type="button"
            class={query.vision === null ? "button quiet small unneeded" : "button quiet small"}
            onClick={() => onShare(null)}
          >
            Reset
          </button>
        </div>
      )}
    </>
  );
}

function shares(vision: number): string {
  return `${percent(vision)} seen, ${percent(1 - vision)} said and written`;
}
