/** The pictures that stand for a scene, how good each is, and why the best is the best. */
import type { Keyframe } from "../api/types";
import { clock } from "../format";
import { Picture } from "../parts/Picture";
import { COMPONENTS, isBlended, partOf, scoreOf, whyBest } from "./quality";

interface Properties {
  keyframes: readonly Keyframe[];
  /** The video's shape, which its pictures share. */
  shape: string;
  playAt: (ms: number) => string;
}

export function Keyframes({ keyframes, shape, playAt }: Properties) {
  return (
    <section aria-labelledby="keyframes">
      <h2 id="keyframes">Keyframes</h2>
      <p class="soft why">{whyBest(keyframes)}</p>
      <ul class="keyframes">
        {keyframes.map((keyframe) => (
          <li key={keyframe.id} class="panel">
            <a href={playAt(keyframe.at_ms)} class="picture" style={{ aspectRatio: shape }}>
              <Picture
                url={keyframe.url}
                alt={`The scene at ${clock(keyframe.at_ms, true)}; play from there`}
              />
            </a>
            <p class="row">
              <strong>{clock(keyframe.at_ms, true)}</strong>
              {keyframe.rank === 0 ? (
                <span class="badge good">best frame</span>
              ) : (
                <span class="badge plain">rank {keyframe.rank + 1}</span>
              )}
              {isBlended(keyframe) && <span class="badge warn">within a transition</span>}
            </p>
            <dl class="quality">
              <Measure
                label="Quality"
                value={scoreOf(keyframe)}
                title="All measures together"
                main
              />
              {COMPONENTS.filter(({ name }) => name in keyframe.quality).map((one) => (
                <Measure
                  key={one.name}
                  label={one.label}
                  value={partOf(keyframe, one.name)}
                  title={one.best}
                />
              ))}
            </dl>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface MeasureProperties {
  label: string;
  value: number;
  title: string;
  main?: boolean;
}

function Measure({ label, value, title, main = false }: MeasureProperties) {
  return (
    <div class={main ? "main" : undefined} title={title}>
      <dt>{label}</dt>
      <dd>
        <span class="track" aria-hidden="true">
          <span style={{ width: `${100 * Math.min(1, Math.max(0, value))}%` }} />
        </span>
        <span class="number">{value.toFixed(2)}</span>
      </dd>
    </div>
  );
}
