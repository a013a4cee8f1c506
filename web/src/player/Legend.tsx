/** What heights and patterns of the timeline strip mean. */
import { LEVELS } from "./relevance";

export function Legend({ asked }: { asked: boolean }) {
  if (!asked) return <p class="legend soft small">Search in this video to see where it answers.</p>;
  return (
    <ul class="legend small" aria-label="Legend">
      {LEVELS.map(({ level, label }) => (
        <li key={level}>
          <span class="relevance">
            <span class={`bar level-${level}`} />
          </span>
          {label}
        </li>
      ))}
      <li>
        <span class="relevance">
          <span class="bar level-0" />
        </span>
        no hit
      </li>
    </ul>
  );
}
