/** Everything known about one scene: its sidecar as people read it. */
import type { ComponentChildren } from "preact";
import { useRoute } from "preact-iso";
import { api, data, Problem } from "../api/client";
import { linesOf } from "../api/lines";
import type { Scene, VideoDetail } from "../api/types";
import { clock, duration } from "../format";
import { Channels } from "../inspector/Channels";
import { Json } from "../inspector/Json";
import { Keyframes } from "../inspector/Keyframes";
import { neighboursOf } from "../inspector/neighbours";
import { Words } from "../inspector/Words";
import { useLoaded } from "../parts/loaded";
import { Failure } from "../parts/Message";
import { Missing } from "../parts/Missing";
import { useTitle } from "../parts/title";
import "./scene-inspector.css";

const GONE =
  "Its video may have been deleted, or indexed anew: its scenes have other addresses since then.";

export function SceneInspector() {
  const { id = "" } = useRoute().params;
  const loaded = useLoaded(id, (signal) => withVideo(id, signal));
  useTitle(loaded.data ? titleOf(loaded.data) : "Scene");
  if (loaded.data) return <Inspected {...loaded.data} />;
  if (!loaded.error) {
    return (
      <div class="inspector" aria-busy="true">
        <h1 class="soft">Loading the scene…</h1>
      </div>
    );
  }
  const missing = loaded.error instanceof Problem && [404, 422].includes(loaded.error.status);
  return missing ? (
    <Missing what="scene" why={GONE} />
  ) : (
    <Failure error={loaded.error} retry={loaded.again} />
  );
}

interface Shown {
  scene: Scene;
  /** Its pictures have the video's shape. */
  video: VideoDetail;
}

async function withVideo(id: string, signal: AbortSignal): Promise<Shown> {
  const scene = await data(
    api.GET("/v1/scenes/{scene_id}", { params: { path: { scene_id: id } }, signal }),
  );
  const path = { video_id: scene.video_id };
  return {
    scene,
    video: await data(api.GET("/v1/videos/{video_id}", { params: { path }, signal })),
  };
}

function titleOf({ scene, video }: Shown): string {
  return `Scene ${scene.scene_index + 1} of ${video.title}`;
}

function Inspected({ scene, video }: Shown) {
  const { id } = video;
  const lines = useLoaded(id, (signal) => linesOf(id, signal));
  const beside = useLoaded(scene.id, (signal) => neighboursOf(scene, signal));
  const playAt = (ms: number) => `/videos/${id}?t=${ms}`;

  return (
    <div class="inspector">
      <header class="inspector-head">
        <div>
          <p class="from">
            <a href={`/videos/${id}`}>{video.title}</a>
          </p>
          <h1>
            Scene {scene.scene_index + 1}
            <span class="soft"> of {video.scene_count}</span>
          </h1>
          <p class="soft">
            {clock(scene.start_ms, true)} to {clock(scene.end_ms, true)},{" "}
            {duration(scene.end_ms - scene.start_ms)} long
          </p>
        </div>
        <nav class="row" aria-label="Of this scene">
          <a class="button primary" href={playAt(scene.start_ms)}>
            Play from here
          </a>
          <a class="button" href={`/search?like=${scene.id}`}>
            More like this
          </a>
          <Beside id={beside.data?.before}>
            <span aria-hidden="true">‹ </span>Previous scene
          </Beside>
          <Beside id={beside.data?.after}>
            Next scene<span aria-hidden="true"> ›</span>
          </Beside>
        </nav>
      </header>
      <Keyframes keyframes={scene.keyframes} shape={shapeOf(video)} playAt={playAt} />
      <Channels channels={scene.channels} />
      {lines.error !== undefined && <Failure error={lines.error} retry={lines.again} />}
      <Words scene={scene} lines={lines.data} playAt={playAt} />
      <Json value={scene} />
    </div>
  );
}

/** A way to a neighbour; where there is none, its place stays. */
function Beside({ id, children }: { id: string | null | undefined; children: ComponentChildren }) {
  if (id) {
    return (
      <a class="button" href={`/scenes/${id}`}>
        {children}
      </a>
    );
  }
  return (
    <button type="button" class="button" disabled>
      {children}
    </button>
  );
}

/** Pictures have their place before they come; a tall one stands in a square. */
function shapeOf({ width, height }: VideoDetail): string {
  return width && height ? `${Math.max(width, height)} / ${height}` : "16 / 9";
}
