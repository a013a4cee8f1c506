/** The video itself; where it cannot be played, why, and what can be done. */
import type { ReadonlySignal } from "@preact/signals";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, data, detailOf, here, Problem, problemOf } from "../api/client";
import type { Utterance, VideoDetail } from "../api/types";
import { Picture } from "../parts/Picture";
import type { Playback } from "./playback";
import "./stage.css";

interface Properties {
  video: VideoDetail;
  playback: Playback;
  lines: readonly Utterance[];
  /** The picture of the scene at this time, for videos that cannot be played. */
  still: ReadonlySignal<string | null>;
}

type Trouble = { kind: "format" } | { kind: "picture" } | { kind: "refused"; why: string };

/** A fresh URL that fails this soon is not one that expired. */
const FRESH_MS = 10_000;

export function Stage({ video, playback, lines, still }: Properties) {
  const [url, setUrl] = useState(here(video.stream_url));
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const element = useRef<HTMLVideoElement | null>(null);
  const freshAt = useRef(Number.NEGATIVE_INFINITY);
  useCaptions(element, lines);
  useEffect(() => {
    playback.playable.value = trouble === null || trouble.kind === "picture";
  }, [trouble]);

  const load = async () => {
    const found = await data(
      api.GET("/v1/videos/{video_id}", { params: { path: { video_id: video.id } } }),
    );
    freshAt.current = performance.now();
    setTrouble(null);
    setUrl(here(found.stream_url));
    element.current?.load();
  };
  const recover = async () => {
    // Before the browser says that it has paused.
    playback.keepPlace();
    const failed = await whyNot(url);
    const fresh = performance.now() - freshAt.current < FRESH_MS;
    if (failed === null) setTrouble({ kind: "format" });
    else if (failed.code === "expired" && !fresh) await load();
    else setTrouble({ kind: "refused", why: failed.message });
  };
  const told = (action: () => Promise<void>) => () => {
    action().catch((error) => setTrouble({ kind: "refused", why: detailOf(error) }));
  };

  return (
    <div class="stage" style={{ aspectRatio: shape(video) }}>
      {/* Captions come from the transcript that the page has loaded: useCaptions. */}
      <video
        ref={(node) => {
          element.current = node;
          playback.attach(node);
        }}
        src={url}
        poster={video.keyframe_url ? here(video.keyframe_url) : undefined}
        controls
        playsInline
        preload="metadata"
        aria-label={video.title}
        hidden={trouble?.kind === "format" || trouble?.kind === "refused"}
        onError={told(recover)}
        {...playback.events}
        onLoadedMetadata={(event) => {
          // Sound that plays without its picture: the browser knows only that codec.
          if (event.currentTarget.videoWidth === 0) setTrouble({ kind: "picture" });
          playback.events.onLoadedMetadata();
        }}
      />
      {trouble && trouble.kind !== "refused" && <Still url={still.value} />}
      {trouble && (
        <div class={`trouble ${trouble.kind}`} role="alert">
          {trouble.kind === "refused" ? (
            <>
              <p>{trouble.why}</p>
              <button type="button" class="button small" onClick={told(load)}>
                Try again
              </button>
            </>
          ) : (
            <>
              <p>
                This browser cannot play {trouble.kind === "picture" ? "the picture of " : ""}this
                format ({format(video)}). Its scenes and words can be looked at all the same.
              </p>
              <a class="button small" href={url} download={video.title}>
                Download the video
              </a>
            </>
          )}
        </div>
      )}
    </div>
  );
}

function Still({ url }: { url: string | null }) {
  return url ? <Picture class="still" url={url} alt="The scene at this time" /> : null;
}

/** What the service says of a stream that failed; null if it gives the file. */
async function whyNot(url: string): Promise<Problem | null> {
  const response = await fetch(url, { headers: { Range: "bytes=0-0" } }).catch(() => null);
  if (response === null) return new Problem(0, "unreachable", "The video cannot be reached.");
  if (!response.ok) return problemOf(response);
  void response.body?.cancel();
  return null;
}

/** The transcript as captions that the player's own menu turns on. */
function useCaptions(
  element: { current: HTMLVideoElement | null },
  lines: readonly Utterance[],
): void {
  useEffect(() => {
    const video = element.current;
    if (!video || lines.length === 0) return;
    const track = video.textTracks[0] ?? video.addTextTrack("captions", "Transcript");
    for (const cue of [...(track.cues ?? [])]) track.removeCue(cue);
    for (const line of lines) {
      track.addCue(new VTTCue(line.start_ms / 1000, line.end_ms / 1000, line.text));
    }
  }, [lines]);
}

function shape({ width, height }: VideoDetail): string {
  return width && height ? `${width} / ${height}` : "16 / 9";
}

function format(video: VideoDetail): string {
  const streams = (video.container.streams ?? []) as { type: string; codec: string }[];
  const codec = streams.find((stream) => stream.type === "video")?.codec;
  return [video.container.format, codec].filter(Boolean).join(", ");
}
