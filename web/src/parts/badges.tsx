/** Statuses and channels as badges: a word, and a colour that only repeats it. */
import type { ChannelStatus, Reason, VideoStatus } from "../api/types";
import { CHANNEL_STATUSES, CHANNELS, VIDEO_STATUSES } from "../words";

export function VideoBadge({ status }: { status: VideoStatus }) {
  const { word, tone } = VIDEO_STATUSES[status];
  return <span class={`badge ${tone}`}>{word}</span>;
}

export function ChannelStatusBadge({ status }: { status: ChannelStatus }) {
  const { word, tone } = CHANNEL_STATUSES[status];
  return <span class={`badge ${tone}`}>{word}</span>;
}

/** Why a scene was found: the channel and its place there. */
export function ReasonBadge({ reason }: { reason: Reason }) {
  const { channel, rank, similarity } = reason;
  const title = similarity === null ? undefined : `Cosine similarity ${similarity.toFixed(3)}`;
  return (
    <span class="badge" title={title}>
      {CHANNELS[channel]} <span>#{rank}</span>
    </span>
  );
}
