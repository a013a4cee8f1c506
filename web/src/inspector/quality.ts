/** What the quality of keyframes says, in words: worker/media/quality.py measures it. */
import type { Keyframe } from "../api/types";

interface Component {
  name: string;
  label: string;
  /** What 1 means. */
  best: string;
  /** How a picture is that has more of it than all others. */
  most: string;
}

export const COMPONENTS: readonly Component[] = [
  { name: "sharpness", label: "Sharpness", best: "1 is sharp", most: "sharpest" },
  { name: "exposure", label: "Exposure", best: "1 is well exposed", most: "best exposed" },
  {
    name: "contrast",
    label: "Contrast",
    best: "1 is rich in contrast",
    most: "richest in contrast",
  },
  { name: "noise", label: "Cleanness", best: "1 is free of noise", most: "cleanest" },
  { name: "steadiness", label: "Steadiness", best: "1 stands still", most: "steadiest" },
];

/** A difference smaller than this is not seen. */
const SEEN = 0.005;

export function scoreOf(keyframe: Keyframe): number {
  return keyframe.quality.quality_score ?? 0;
}

/** Whether it was taken while one scene goes over into another. */
export function isBlended(keyframe: Keyframe): boolean {
  return (keyframe.quality.transition ?? 0) > 0;
}

/** Why the best keyframe is the best, from its numbers. Keyframes come best first. */
export function whyBest(keyframes: readonly Keyframe[]): string {
  const [best, ...others] = keyframes;
  if (!best) return "No picture could be taken from this scene.";
  const second = others[0];
  if (!second) {
    return `It is the only keyframe that was kept; its quality is ${scoreOf(best).toFixed(2)}.`;
  }
  if (scoreOf(best) - scoreOf(second) < SEEN) {
    return `All but equal in quality, ${scores(keyframes, 3)}: the highest is taken.`;
  }
  const against = scores(keyframes, 2);
  const leads = COMPONENTS.filter(({ name }) =>
    others.every((one) => partOf(best, name) - partOf(one, name) >= SEEN),
  ).map(({ most }) => most);
  if (!isBlended(best) && others.every(isBlended)) {
    leads.unshift("the only one that is not within a transition");
  }
  const of = keyframes.length === 2 ? "of the two" : `of ${keyframes.length}`;
  if (leads.length === 0) return `The best balance of all measures ${of}: ${against}.`;
  return `${sentence(leads)} ${of}: ${against}.`;
}

export function partOf(keyframe: Keyframe, name: string): number {
  return keyframe.quality[name] ?? 0;
}

/** `0.82 against 0.61 and 0.58`. */
function scores([best, ...others]: readonly Keyframe[], digits: number): string {
  const shown = (one: Keyframe) => scoreOf(one).toFixed(digits);
  return `${best ? shown(best) : ""} against ${others.map(shown).join(" and ")}`;
}

function sentence(parts: readonly string[]): string {
  const text =
    parts.length < 2 ? (parts[0] ?? "") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
  return text.charAt(0).toUpperCase() + text.slice(1);
}
