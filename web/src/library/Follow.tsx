/** Follows videos that are being indexed: a few by event streams, the others by asking in turn. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { here, Problem } from "../api/client";
import type { Progress } from "../api/types";
import { VIDEO_STATUSES } from "../words";
import { announce } from "./announce";
import type { Catalog } from "./catalog";
import { detail, moves, type Shown } from "./shown";
import { sending } from "./uploads";

// A browser has six connections to a host for all tabs; uploads and everything else need some.
const STREAMS = 3;
const STREAMS_BESIDE_UPLOADS = 1;
const ROUND_MS = 4000;
// Many are asked less often each, so that the requests stay as many.
const LEAST_PAUSE_MS = 500;

/** Nothing to see: it keeps the catalog's videos up to date while the tab is shown. */
export function Follow({ catalog }: { catalog: Catalog }) {
  const visible = useVisible();
  // Streams that the service does not give; those videos are asked for.
  const refused = useSignal<ReadonlySet<string>>(new Set());
  if (!visible) return null;
  const refuse = (url: string) => {
    refused.value = new Set([...refused.value, url]);
  };
  const moving = (catalog.videos ?? []).filter(moves).sort(workedOnFirst);
  const most = sending.value > 0 ? STREAMS_BESIDE_UPLOADS : STREAMS;
  const streamed = moving.filter((one) => !refused.value.has(one.events_url)).slice(0, most);
  const others = moving.filter((one) => !streamed.includes(one));
  return (
    <>
      {streamed.map((video) => (
        <Stream key={video.id} video={video} catalog={catalog} refuse={refuse} />
      ))}
      {others.length > 0 && <Ask videos={others} catalog={catalog} />}
    </>
  );
}

function useVisible(): boolean {
  const visible = useSignal(!document.hidden);
  useEffect(() => {
    const look = () => {
      visible.value = !document.hidden;
    };
    document.addEventListener("visibilitychange", look);
    return () => document.removeEventListener("visibilitychange", look);
  }, []);
  return visible.value;
}

function workedOnFirst(a: Shown, b: Shown): number {
  return Number(b.status === "processing") - Number(a.status === "processing");
}

/** Take over what is known of a video by now. Throws what the API says, unless it is gone. */
async function look(id: string, catalog: Catalog): Promise<void> {
  try {
    const now = await detail(id);
    catalog.put(now);
    if (!moves(now)) tell(now);
  } catch (error) {
    if (!(error instanceof Problem && error.status === 404)) throw error;
    catalog.remove(id);
  }
}

function tell(video: Shown): void {
  const said = `${video.title}: ${VIDEO_STATUSES[video.status].word}.`;
  announce(video.reason ? `${said} ${video.reason}` : said);
}

interface StreamProperties {
  video: Shown;
  catalog: Catalog;
  refuse: (url: string) => void;
}

function Stream({ video, catalog, refuse }: StreamProperties) {
  const { id, events_url, stage } = video;
  const refused = () => refuse(events_url);
  useEffect(() => {
    const events = new EventSource(here(events_url));
    events.addEventListener("progress", (event) => {
      const now: Progress = JSON.parse(event.data);
      // The card changes once, when everything about the settled video is known.
      if (moves({ ...video, ...now })) catalog.put({ id, ...now });
    });
    events.addEventListener("settled", () => {
      events.close();
      look(id, catalog).catch(refused);
    });
    events.addEventListener("gone", () => {
      events.close();
      catalog.remove(id);
    });
    events.addEventListener("error", () => {
      // EventSource comes again by itself, unless the answer was a refusal.
      if (events.readyState === EventSource.CLOSED) refused();
    });
    return () => events.close();
  }, [id]);

  // Each stage leaves something to show that no event holds: a length, a picture.
  const before = useRef(stage);
  useEffect(() => {
    if (stage && stage !== before.current) look(id, catalog).catch(() => {});
    before.current = stage;
  }, [stage]);
  return null;
}

function Ask({ videos, catalog }: { videos: readonly Shown[]; catalog: Catalog }) {
  const line = useRef(videos);
  line.current = videos;
  useEffect(() => {
    let timer = 0;
    let at = 0;
    let ended = false;
    const askNext = async () => {
      let pauseMs = Math.max(ROUND_MS / line.current.length, LEAST_PAUSE_MS);
      const video = line.current[at++ % line.current.length];
      try {
        if (video) await look(video.id, catalog);
      } catch (error) {
        pauseMs = waitOf(error);
      }
      if (!ended) timer = window.setTimeout(askNext, pauseMs);
    };
    void askNext();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, []);
  return null;
}

function waitOf(error: unknown): number {
  const askedS = error instanceof Problem ? error.retryAfterS : null;
  return askedS === null ? ROUND_MS : askedS * 1000;
}
