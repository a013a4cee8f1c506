/** A video that is still being indexed, as its event stream tells. */
import { useEffect, useState } from "preact/hooks";
import { here } from "../api/client";
import { type Progress, SETTLED, type VideoDetail } from "../api/types";

/** A stream that was refused, as when an owner has too many, is asked for again after this time. */
const REFUSED_MS = 5000;

/** The video with what its events said last; `reload` is called when it has to be read anew. */
export function useLive(
  video: VideoDetail | undefined,
  reload: () => void,
): VideoDetail | undefined {
  const [live, setLive] = useState<Progress | null>(null);
  const [round, setRound] = useState(0);
  const moving = video !== undefined && !SETTLED.has(video.status);
  useEffect(() => {
    setLive(null);
    if (!video || !moving) return;
    const events = new EventSource(here(video.events_url));
    let waiting: ReturnType<typeof setTimeout> | undefined;
    const end = () => {
      events.close();
      reload();
    };
    events.addEventListener("progress", (event) => setLive(JSON.parse(event.data)));
    events.addEventListener("settled", end);
    events.addEventListener("gone", end);
    events.addEventListener("error", () => {
      if (events.readyState !== EventSource.CLOSED) return;
      waiting = setTimeout(() => {
        reload();
        setRound(round + 1);
      }, REFUSED_MS);
    });
    return () => {
      events.close();
      clearTimeout(waiting);
    };
  }, [video?.id, moving, round]);
  return video && live && moving ? { ...video, ...live } : video;
}
