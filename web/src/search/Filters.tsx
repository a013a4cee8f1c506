/** Which scenes may be found, and what a hit is. */
import { useState } from "preact/hooks";
import type { GroupBy, Query } from "../query";
import { Choice } from "./Choice";
import "./filters.css";
import { VideoFinder } from "./VideoFinder";

const GROUPS: { value: GroupBy; label: string; title: string }[] = [
  { value: "scene", label: "Scenes", title: "Every scene is a hit" },
  { value: "moment", label: "Moments", title: "Adjacent scenes are one hit" },
  { value: "video", label: "Videos", title: "Every video is one hit" },
];
const SPEECH: { value: "any" | "yes" | "no"; label: string }[] = [
  { value: "any", label: "Either" },
  { value: "yes", label: "With speech" },
  { value: "no", label: "Without" },
];

interface Properties {
  query: Query;
  /** Tags of the hits, to choose from. */
  tags: readonly string[];
  onChange: (change: Partial<Query>) => void;
}

export function Filters({ query, tags, onChange }: Properties) {
  const speech = query.hasSpeech === null ? "any" : query.hasSpeech ? "yes" : "no";
  return (
    <section id="filters" class="panel filters" aria-label="Filters">
      <VideoFinder chosen={query.videoIds} onChoose={(videoIds) => onChange({ videoIds })} />
      <div class="filter">
        <h2>Show</h2>
        <Choice
          legend="A hit is one of the"
          name="by"
          options={GROUPS}
          value={query.groupBy}
          onChoose={(groupBy) => onChange({ groupBy })}
        />
        <h2>Speech</h2>
        <Choice
          legend="Scenes with speech"
          name="speech"
          options={SPEECH}
          value={speech}
          onChoose={(it) => onChange({ hasSpeech: it === "any" ? null : it === "yes" })}
        />
      </div>
      <div class="filter">
        <h2>Length of the scene</h2>
        <div class="row">
          <Seconds
            label="from"
            value={query.minDurationS}
            onChange={(minDurationS) => onChange({ minDurationS })}
          />
          <Seconds
            label="to"
            value={query.maxDurationS}
            onChange={(maxDurationS) => onChange({ maxDurationS })}
          />
        </div>
        <Tags
          known={tags.filter((tag) => !query.tags.includes(tag))}
          onAdd={(tag) => onChange({ tags: [...new Set([...query.tags, tag])] })}
        />
      </div>
    </section>
  );
}

interface SecondsProperties {
  label: string;
  value: number | null;
  onChange: (value: number | null) => void;
}

function Seconds({ label, value, onChange }: SecondsProperties) {
  return (
    <label class="seconds">
      {label}
      <input
        class="field"
        type="number"
        min={0}
        step="any"
        inputMode="decimal"
        value={value ?? ""}
        onChange={({ currentTarget: { valueAsNumber } }) =>
          onChange(valueAsNumber >= 0 ? valueAsNumber : null)
        }
      />
      s
    </label>
  );
}

function Tags({ known, onAdd }: { known: readonly string[]; onAdd: (tag: string) => void }) {
  const [typed, setTyped] = useState("");
  const add = (event: Event) => {
    event.preventDefault();
    if (typed.trim()) onAdd(typed.trim());
    setTyped("");
  };
  return (
    <form onSubmit={add}>
      <h2>
        <label for="tag">Tags</label>
      </h2>
      <div class="row tag-line">
        <input
          id="tag"
          class="field"
          list="tags"
          value={typed}
          autocomplete="off"
          placeholder="A scene has all of them"
          onInput={(event) => setTyped(event.currentTarget.value)}
        />
        <button type="submit" class="button">
          Add
        </button>
      </div>
      <datalist id="tags">
        {known.map((tag) => (
          <option key={tag} value={tag} />
        ))}
      </datalist>
    </form>
  );
}
