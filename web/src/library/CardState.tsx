/** Where a video stands, in a block that has the same size in every state. */
import { counted, duration, percent } from "../format";
import { Ago } from "../parts/Ago";
import { VideoBadge } from "../parts/badges";
import { STAGES } from "../words";
import { isStage, moves, type Shown } from "./shown";

export function CardState({ video }: { video: Shown }) {
  return (
    <div class="library-state small">
      <p class="line">
        <VideoBadge status={video.status} />
        <span class="soft">{moves(video) ? left(video) : sizes(video)}</span>
      </p>
      <More video={video} />
    </div>
  );
}

function sizes({ status, failed_stage, scene_count }: Shown): string {
  if (status === "failed" && isStage(failed_stage)) return `at stage “${STAGES[failed_stage]}”`;
  return counted(scene_count, "scene");
}

/** The time that is likely left. */
export function left({ eta_s, status }: Shown): string {
  if (status === "uploading") return "its file is not whole yet";
  if (status === "waiting") return "in line";
  return eta_s == null ? "" : `about ${duration(eta_s * 1000)} left`;
}

function More({ video }: { video: Shown }) {
  if (moves(video)) return <Steps video={video} />;
  if (video.reason) {
    return (
      <p class="reason" title={video.reason}>
        {video.reason}
      </p>
    );
  }
  return (
    <p class="soft">
      Added <Ago at={video.created_at} />
    </p>
  );
}

/** A piece for every stage, filled as far as it is. */
function Steps({ video }: { video: Shown }) {
  const { stages = [], stage, progress = 0 } = video;
  const now = stage ? STAGES[stage] : "not begun";
  const said = `${now}, ${percent(progress)}`;
  return (
    <>
      <div
        class="library-steps"
        role="progressbar"
        aria-label={`Indexing of ${video.title}`}
        aria-valuenow={Math.round(progress * 100)}
        aria-valuetext={[said, left(video)].filter(Boolean).join(", ")}
      >
        {stages.map(({ stage, done, total, state }) => (
          <span key={stage} class={`library-bar ${state}`} title={STAGES[stage]}>
            <span style={{ width: percentOf(done, total, state === "succeeded") }} />
          </span>
        ))}
        {stages.length === 0 && <span class="library-bar" />}
      </div>
      <p class="soft" aria-hidden="true">
        {said}
      </p>
    </>
  );
}

/** How far a bar is filled. */
export function percentOf(done: number, total: number, whole: boolean): string {
  return `${whole ? 100 : (100 * Math.min(done, total)) / Math.max(1, total)}%`;
}
