/** What is said, beside the video: it follows the time, and each line goes to its own. */
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { authorization, detailOf, problemOf } from "../api/client";
import type { Utterance, VideoDetail } from "../api/types";
import { clock } from "../format";
import { Failure } from "../parts/Message";
import { toast } from "../shell/toasts";
import type { Playback } from "./playback";
import { sceneAt } from "./scenes";
import { whySilent } from "./silence";
import { pieces } from "./spoken";
import "./transcript.css";

interface Properties {
  video: VideoDetail;
  /** undefined until they are loaded. */
  lines: readonly Utterance[] | undefined;
  error: unknown;
  again: () => void;
  words: ReadonlySet<string>;
  playback: Playback;
}

export function Transcript({ video, lines, error, again, words, playback }: Properties) {
  return (
    <section
      class={`transcript panel ${video.coverage.transcript || lines?.length ? "" : "without"}`}
      aria-label="Transcript"
    >
      <div class="transcript-head">
        <h2>Transcript</h2>
        {lines && lines.length > 0 && (
          <div class="row">
            <Download video={video} format="vtt" />
            <Download video={video} format="srt" />
          </div>
        )}
      </div>
      {lines === undefined ? (
        error ? (
          <Failure error={error} retry={again} />
        ) : (
          <div class="lines" aria-busy="true" />
        )
      ) : lines.length === 0 ? (
        <p class="soft lines">{whySilent(video)}</p>
      ) : (
        <Lines lines={lines} words={words} playback={playback} />
      )}
    </section>
  );
}

const SCROLLING = new Set(["ArrowUp", "ArrowDown", "PageUp", "PageDown", "Home", "End", "Tab"]);

function Lines({
  lines,
  words,
  playback,
}: {
  lines: readonly Utterance[];
  words: ReadonlySet<string>;
  playback: Playback;
}) {
  const box = useRef<HTMLOListElement>(null);
  const following = useSignal(true);
  const current = useComputed(() => sceneAt(lines, playback.timeMs.value));
  const now = current.value;
  // Thousands of lines are drawn once; only the mark of the current one moves.
  useEffect(() => {
    const line = box.current?.children[now]?.firstElementChild;
    line?.setAttribute("aria-current", "true");
    return () => line?.removeAttribute("aria-current");
  }, [now, lines, words]);
  useEffect(() => {
    if (following.value) show(box.current, now);
  }, [now, following.value]);
  const items = useMemo(
    () =>
      lines.map((line, index) => (
        <Line
          key={`${line.start_ms} ${index}`}
          line={line}
          words={words}
          choose={() => {
            following.value = true;
            playback.seek(line.start_ms);
          }}
        />
      )),
    [lines, words],
  );
  const leave = () => {
    following.value = false;
  };

  return (
    <>
      <ol
        class="lines"
        ref={box}
        onWheel={leave}
        onTouchMove={leave}
        // The bar at the side is of the box itself, and none of its lines.
        onPointerDown={(event) => event.target === event.currentTarget && leave()}
        onKeyDown={(event) => SCROLLING.has(event.key) && leave()}
      >
        {items}
      </ol>
      <button
        type="button"
        class="button small follow"
        aria-pressed={following.value}
        onClick={() => {
          following.value = !following.value;
        }}
      >
        {following.value ? "Following the video" : "Follow the video"}
      </button>
    </>
  );
}

interface LineProperties {
  line: Utterance;
  words: ReadonlySet<string>;
  choose: () => void;
}

function Line({ line, words, choose }: LineProperties) {
  return (
    <li>
      <button type="button" onClick={choose}>
        <span class="at">{clock(line.start_ms)}</span>
        <span dir="auto">
          {line.speaker && <strong>{line.speaker}: </strong>}
          {pieces(line.text, words).map((piece) =>
            piece.marked ? <mark>{piece.text}</mark> : piece.text,
          )}
        </span>
      </button>
    </li>
  );
}

/** Scroll the box, and never the page, so that the line is in its upper third. */
function show(box: HTMLElement | null, line: number): void {
  const item = box?.children[Math.max(0, line)];
  if (!box || !(item instanceof HTMLElement)) return;
  box.scrollTop = item.offsetTop - box.offsetTop - box.clientHeight / 3;
}

function Download({ video, format }: { video: VideoDetail; format: "vtt" | "srt" }) {
  const save = async () => {
    const url = `/v1/videos/${video.id}/transcript?format=${format}`;
    const response = await fetch(url, { headers: authorization() });
    if (!response.ok) throw await problemOf(response);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = `${video.title.replace(/\.\w{2,4}$/, "")}.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  return (
    <button
      type="button"
      class="button small"
      onClick={() => save().catch((error) => toast(detailOf(error), { tone: "bad" }))}
    >
      <span class="hidden-but-read">Download the transcript as </span>
      {format.toUpperCase()}
    </button>
  );
}
