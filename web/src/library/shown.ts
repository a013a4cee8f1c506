/** A video as the library shows it: with its progress, once that is known. */
import { api, data } from "../api/client";
import {
  type Channel,
  type ChannelStatus,
  type Progress,
  SETTLED,
  type Stage,
  type Video,
  type VideoDetail,
} from "../api/types";
import { CHANNEL_STATUSES, STAGES } from "../words";

export type Shown = Video & Partial<Progress>;

/** Where a video stands, as the API knows it at this moment. */
export function detail(id: string): Promise<VideoDetail> {
  return data(api.GET("/v1/videos/{video_id}", { params: { path: { video_id: id } } }));
}

/** Whether something still happens to it by itself. */
export function moves(video: Shown): boolean {
  return !SETTLED.has(video.status);
}

/** Whether a text, as of `failed_stage`, names a stage. */
export function isStage(name: string | null): name is Stage {
  return name !== null && name in STAGES;
}

/** The id of the link that a video's card has. */
export function linkId(id: string): string {
  return `video-${id}`;
}

/** One channel of a video: how many scenes have which status. */
export interface ChannelSum {
  channel: Channel;
  scenes: number;
  statuses: { status: ChannelStatus; scenes: number; missing: boolean }[];
  missing: number;
}

/** The channels, each with what it has and what it lacks; what is missing comes first. */
export function channelSums(channels: Progress["channels"]): ChannelSum[] {
  const sums = Object.entries(channels).map(([channel, counts]) => {
    const statuses = Object.entries(counts).map(([name, scenes]) => {
      const status = name as ChannelStatus;
      const { tone } = CHANNEL_STATUSES[status];
      return { status, scenes, missing: tone === "warn" || tone === "bad" };
    });
    statuses.sort((a, b) => Number(b.missing) - Number(a.missing));
    const sum = (of: typeof statuses) => of.reduce((total, one) => total + one.scenes, 0);
    const missing = sum(statuses.filter((one) => one.missing));
    return { channel: channel as Channel, scenes: sum(statuses), statuses, missing };
  });
  const found = (one: ChannelSum) => one.statuses.some(({ status }) => status === "ok");
  return sums.sort((a, b) => b.missing - a.missing || Number(found(b)) - Number(found(a)));
}
