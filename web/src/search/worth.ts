/** What an answer is worth, in sentences. */
import type { SearchAnswer, SearchChannel } from "../api/types";
import { counted } from "../format";

/** The options in force, as far as the page tells them. */
interface Applied {
  channels: SearchChannel[];
  weights: Partial<Record<SearchChannel, number>>;
}

const SUBJECTS: Record<string, string> = {
  visual_clip: "Pictures were",
  transcript: "Speech was",
  visual: "Descriptions were",
  summary: "Summaries were",
  lexical: "Words were",
};

export interface AskedChannel {
  channel: SearchChannel;
  weight: number;
  scenes: number;
  encodeMs: number | undefined;
  searchMs: number | undefined;
}

/** The channels that counted in the search. */
export function askedChannels(answer: SearchAnswer): AskedChannel[] {
  const { channels, weights } = answer.applied as unknown as Applied;
  return channels
    .map((channel) => ({
      channel,
      weight: weights[channel] ?? 0,
      scenes: answer.coverage[channel] ?? 0,
      encodeMs: answer.timing_ms.channels[channel]?.encode,
      searchMs: answer.timing_ms.channels[channel]?.search,
    }))
    .filter((one) => one.weight > 0);
}

/** What was missing, and what was done besides: what a person has to know to trust the answer. */
export function remarks(answer: SearchAnswer): string[] {
  const { pool } = answer;
  const asked = askedChannels(answer);
  const said = answer.degraded.filter(
    ({ channel }) => channel === "rerank" || asked.some((one) => one.channel === channel),
  );
  const seen = asked.find((one) => one.channel === "visual_clip");
  const unseen = pool.scenes - (seen?.scenes ?? pool.scenes);
  return [
    ...said.map(({ channel, reason }) => {
      const took = asked.find((one) => one.channel === channel)?.searchMs !== undefined;
      return `${missing(channel, took)}: ${reason}`;
    }),
    ...(unseen > 0 && !said.some((one) => one.channel === "visual_clip")
      ? [`${unseen} of ${counted(pool.scenes, "scene")} cannot be found by pictures.`]
      : []),
    ...(pool.unsettled > 0
      ? [
          `${counted(pool.unsettled, "video")} ${pool.unsettled === 1 ? "is" : "are"} still being indexed.`,
        ]
      : []),
    ...Object.entries(answer.corrections).map(
      ([word, near]) => `No video says “${word}”; ${listed(near)} was looked for besides.`,
    ),
  ];
}

function missing(channel: string, tookPart: boolean): string {
  if (channel === "rerank") return "The hits were not ordered by their texts";
  const subject = SUBJECTS[channel] ?? channel;
  return tookPart ? `${subject} searched in part` : `${subject} not searched`;
}

function listed(words: readonly string[]): string {
  return words.map((word) => `“${word}”`).join(" or ");
}
