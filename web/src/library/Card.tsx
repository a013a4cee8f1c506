/** One video as a card: its best frame, its title, where it stands, and what can be done. */
import { useSignal } from "@preact/signals";
import { clock } from "../format";
import { Thumbnail } from "../parts/Thumbnail";
import * as actions from "./actions";
import { CardState } from "./CardState";
import { CardTitle } from "./CardTitle";
import type { Catalog } from "./catalog";
import { Details } from "./Details";
import { remove } from "./deletions";
import { isStage, type Shown } from "./shown";

interface Properties {
  video: Shown;
  catalog: Catalog;
  eager: boolean;
}

export function Card({ video, catalog, eager }: Properties) {
  const open = useSignal(false);
  const renaming = useSignal(false);
  const { title, duration_ms } = video;
  return (
    <li class="library-card">
      <Thumbnail
        url={video.keyframe_url}
        alt=""
        time={duration_ms === null ? undefined : clock(duration_ms)}
        eager={eager}
      />
      <div class="about">
        <CardTitle video={video} catalog={catalog} renaming={renaming} />
        <CardState video={video} />
        <div class="ways">
          <Way video={video} catalog={catalog} />
          <button
            type="button"
            class={video.status === "partial" ? "button small" : "button quiet small"}
            aria-label={`${detailsOf(video)}: ${title}`}
            onClick={() => {
              open.value = true;
            }}
          >
            {detailsOf(video)}
          </button>
          <span class="icons">
            <Icon
              label={`Rename ${title}`}
              title="Rename"
              path="M4 16.5V20h3.5L18.2 9.3l-3.5-3.5L4 16.5ZM16 4.5 19.5 8"
              run={() => {
                renaming.value = true;
              }}
            />
            <Icon
              label={`Delete ${title}`}
              title="Delete"
              path="M5 7h14M10 7V4.5h4V7M7 7l.8 12.5h8.4L17 7M10.3 10.5v5.5M13.7 10.5v5.5"
              run={(button) => {
                focusBeside(button);
                remove(video);
              }}
            />
          </span>
        </div>
      </div>
      {open.value && (
        <Details
          video={video}
          catalog={catalog}
          close={() => {
            open.value = false;
          }}
        />
      )}
    </li>
  );
}

function detailsOf({ status }: Shown): string {
  return status === "partial" ? "What is missing" : "Details";
}

/** The one thing to do next, where there is one. */
function Way({ video, catalog }: { video: Shown; catalog: Catalog }) {
  const { status, failed_stage, title } = video;
  const retry = (label: string, again: actions.Again) => (
    <button
      type="button"
      class="button small"
      aria-label={`${label}: ${title}`}
      onClick={() => actions.retry(catalog, video, again)}
    >
      {label}
    </button>
  );
  if (status === "failed")
    return isStage(failed_stage)
      ? retry("Retry this stage", { stage: failed_stage })
      : retry("Retry", {});
  if (status === "cancelled") return retry("Go on", {});
  if (status !== "waiting" && status !== "processing") return null;
  return (
    <button
      type="button"
      class="button small"
      aria-label={`Cancel indexing: ${title}`}
      onClick={() => actions.cancel(catalog, video)}
    >
      Cancel
    </button>
  );
}

interface IconProperties {
  label: string;
  title: string;
  path: string;
  run: (button: HTMLElement) => void;
}

function Icon({ label, title, path, run }: IconProperties) {
  return (
    <button
      type="button"
      class="button quiet small icon"
      aria-label={label}
      title={title}
      onClick={({ currentTarget }) => run(currentTarget)}
    >
      <svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true">
        <path d={path} />
      </svg>
    </button>
  );
}

/** A card that goes leaves the focus to its neighbour. */
function focusBeside(button: HTMLElement): void {
  const card = button.closest("li");
  const neighbour = card?.nextElementSibling ?? card?.previousElementSibling;
  (neighbour?.querySelector("a") ?? document.getElementById("main"))?.focus({
    preventScroll: true,
  });
}

/** The place of a card while the list is loaded, of the same size. */
export function CardToCome() {
  return (
    <li class="library-card to-come" aria-hidden="true">
      <Thumbnail url={null} alt="" />
      <div class="about">
        <div class="title" />
        <div class="library-state" />
        <div class="ways" />
      </div>
    </li>
  );
}
