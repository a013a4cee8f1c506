/** Where a video stands, when that is anything but ready. */
import { useRef } from "preact/hooks";
import { api, data, detailOf } from "../api/client";
import { SETTLED, type VideoDetail } from "../api/types";
import { counted, duration, percent } from "../format";
import { toast } from "../shell/toasts";
import { STAGES } from "../words";

interface Properties {
  video: VideoDetail;
  again: () => void;
}

export function State({ video, again }: Properties) {
  // Whoever saw it being indexed sees it end in the same place.
  const seen = useRef(video.status !== "ready");
  if (video.status === "ready") {
    return seen.current ? (
      <div class="panel state moving">
        <p role="status">This video is ready.</p>
      </div>
    ) : null;
  }
  if (SETTLED.has(video.status) || video.status === "deleting") {
    return (
      <div class="panel state">
        <p role="status">{settledWords(video)}</p>
        {video.status !== "deleting" && <Retry video={video} again={again} />}
      </div>
    );
  }
  const { stage, progress, eta_s: eta } = video;
  return (
    <div class="panel state moving">
      <p>
        <span role="status">This video is not ready yet.</span>{" "}
        <span class="soft">
          {stage ? `Working on: ${STAGES[stage]}. ` : ""}
          {video.coverage.scenes
            ? `${counted(video.coverage.scenes, "scene")} can be looked at already.`
            : "Its scenes are not there yet; the video itself may play already."}
        </span>
      </p>
      <p class="row">
        <progress max={1} value={progress} aria-label="Indexed" />
        <span class="small soft">
          {percent(progress)}
          {eta ? `, about ${duration(eta * 1000)} left` : ""}
        </span>
      </p>
    </div>
  );
}

function settledWords(video: VideoDetail): string {
  if (video.status === "deleting") return "This video is being deleted.";
  if (video.status === "cancelled") return "Indexing was stopped. What is here stays.";
  const stage = video.failed_stage ? STAGES[video.failed_stage as keyof typeof STAGES] : null;
  const what =
    video.status === "failed"
      ? `Indexing failed${stage ? ` at “${stage}”` : ""}`
      : "A part of this video could not be indexed";
  return video.reason ? `${what}: ${video.reason}` : `${what}.`;
}

function Retry({ video, again }: Properties) {
  const retry = async () => {
    const params = { path: { video_id: video.id } };
    await data(api.POST("/v1/videos/{video_id}/retry", { params }));
    again();
  };
  return (
    <p>
      <button
        type="button"
        class="button small"
        onClick={() => retry().catch((error) => toast(detailOf(error), { tone: "bad" }))}
      >
        Index again what is missing
      </button>
    </p>
  );
}
