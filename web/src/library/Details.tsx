/** Everything about where a video stands: its stages, its channels, and what can be tried again. */
import { useEffect, useState } from "preact/hooks";
import { detailOf } from "../api/client";
import type { StageProgress } from "../api/types";
import { counted, percent } from "../format";
import { VideoBadge } from "../parts/badges";
import { CHANNEL_STATUSES, CHANNELS, STAGES } from "../words";
import * as actions from "./actions";
import { left, percentOf } from "./CardState";
import type { Catalog } from "./catalog";
import { Dialog } from "./Dialog";
import { type ChannelSum, channelSums, detail, moves, type Shown } from "./shown";

interface Properties {
  video: Shown;
  catalog: Catalog;
  close: () => void;
}

export function Details({ video, catalog, close }: Properties) {
  const [error, setError] = useState("");
  // What moves is followed already.
  useEffect(() => {
    if (!moves(video) || !video.stages)
      detail(video.id).then(catalog.put, (reason) => setError(detailOf(reason)));
  }, [video.id, video.status]);

  const again = (what: actions.Again) => void actions.retry(catalog, video, what);
  const { status, stages, channels, reason } = video;
  const settled = !moves(video);
  const stageList = (
    <section key="stages">
      <h3>Stages</h3>
      <ul class="library-rows stages">
        {stages?.map((one) => (
          <StageRow key={one.stage} {...one} settled={settled} again={again} />
        ))}
        {!stages && <li class="soft">Looking…</li>}
      </ul>
    </section>
  );
  const channelList = channels && Object.keys(channels).length > 0 && (
    <section key="channels">
      <h3>What can be found</h3>
      <ul class="library-rows">
        {channelSums(channels).map((one) => (
          <ChannelRow key={one.channel} {...one} settled={settled} again={again} />
        ))}
      </ul>
    </section>
  );
  return (
    <Dialog title={video.title} close={close}>
      <p class="row">
        <VideoBadge status={status} />
        {moves(video) && (
          <span class="soft">
            {[percent(video.progress ?? 0), left(video)].filter(Boolean).join(", ")}
          </span>
        )}
      </p>
      {reason && <p class="reason">{reason}</p>}
      {error && <p class="library-wrong">{error}</p>}
      {/* What is searchable counts once it is settled; before that, what is being done. */}
      {settled ? [channelList, stageList] : [stageList, channelList]}
      <Ways video={video} catalog={catalog} again={again} />
    </Dialog>
  );
}

type Retrying = { settled: boolean; again: (what: actions.Again) => void };

function StageRow({ stage, state, done, total, error, settled, again }: StageProgress & Retrying) {
  return (
    <li>
      <span class="name">{STAGES[stage]}</span>
      <span class={`library-bar ${state}`}>
        <span style={{ width: percentOf(done, total, state === "succeeded") }} />
      </span>
      <span class="said small">
        {JOB_STATES[state]}
        {total > 1 && `, ${done} of ${total}`}
      </span>
      {state === "failed" && settled && (
        <button
          type="button"
          class="button small again"
          aria-label={`Retry this stage: ${STAGES[stage]}`}
          onClick={() => again({ stage })}
        >
          Retry this stage
        </button>
      )}
      {error && <p class="why small">{error}</p>}
    </li>
  );
}

const JOB_STATES: Record<StageProgress["state"], string> = {
  queued: "in line",
  running: "running",
  retryable: "tried again soon",
  succeeded: "done",
  failed: "failed",
  cancelled: "not done",
};

function ChannelRow({ channel, scenes, statuses, missing, settled, again }: ChannelSum & Retrying) {
  return (
    <li>
      <span class="name">{CHANNELS[channel]}</span>
      <ul class="statuses">
        {statuses.map(({ status, scenes: count }) => (
          <li key={status}>
            <span class={`badge ${CHANNEL_STATUSES[status].tone}`}>
              {CHANNEL_STATUSES[status].word}
            </span>{" "}
            <span class="small">
              {count} of {counted(scenes, "scene")}
            </span>
          </li>
        ))}
      </ul>
      {missing > 0 && settled && (
        <button
          type="button"
          class="button small again"
          aria-label={`Retry this channel: ${CHANNELS[channel]}`}
          onClick={() => again({ channel })}
        >
          Retry this channel
        </button>
      )}
    </li>
  );
}

function Ways({ video, catalog, again }: WaysProperties) {
  const { status, channels = {} } = video;
  // A damaged file is partial too, and there is nothing to try again.
  const missing = channelSums(channels).some((one) => one.missing > 0);
  return (
    <footer>
      {(status === "failed" || (status === "partial" && missing)) && (
        <button type="button" class="button primary" onClick={() => again({})}>
          Retry all that failed
        </button>
      )}
      {(status === "waiting" || status === "processing") && (
        <button type="button" class="button" onClick={() => actions.cancel(catalog, video)}>
          Cancel indexing
        </button>
      )}
      <a class="button" href={`/videos/${video.id}`}>
        Open the video
      </a>
    </footer>
  );
}

type WaysProperties = Omit<Properties, "close"> & Pick<Retrying, "again">;
