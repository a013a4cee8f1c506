/** All scenes on one line, as wide as they are long and as high as they answer the query. */
import type { ReadonlySignal } from "@preact/signals";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Scene } from "../api/types";
import { clock } from "../format";
import { Picture } from "../parts/Picture";
import { type Cell, cellsOf, cellWith, picturesOf } from "./cells";
import { Legend } from "./Legend";
import type { Playback } from "./playback";
import { momentOf, type Relevance } from "./relevance";
import "./strip.css";

interface Properties {
  scenes: readonly Scene[];
  /** How many there will be when all of them are loaded. */
  count: number;
  durationMs: number;
  relevance: Relevance;
  /** Whether there is a query. */
  asked: boolean;
  playback: Playback;
  /** The scene under the playhead, as its place in the list. */
  current: ReadonlySignal<number>;
}

/** A picture is shown where a cell is at least this wide. */
const PICTURE_PX = 28;
/** Another one of the same scene has room in as much more. */
const ROOM_PX = 200;
const RANK_PX = 26;
/** Zoomed in as far as this, a scene of mean length shows its picture. */
const ROOMY_PX = 72;

export function Strip(properties: Properties) {
  const { scenes, count, durationMs, relevance, asked, playback, current } = properties;
  const box = useRef<HTMLDivElement>(null);
  const [view, setView] = useState({ left: 0, width: 0 });
  const [zoom, setZoom] = useState(1);
  const [roving, setRoving] = useState<number | null>(null);
  const moved = useRef(false);
  useView(box, setView);

  const width = view.width * zoom;
  const cells = useMemo(
    () => (width ? cellsOf(scenes, durationMs, width, relevance.places) : []),
    [scenes, durationMs, width, relevance],
  );
  const now = cellWith(cells, current.value);
  const reached = Math.max(0, roving === null ? now : cellWith(cells, roving));
  useEffect(() => {
    if (moved.current) box.current?.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
    moved.current = false;
  }, [reached]);
  useLayoutEffect(() => keepInView(box.current, cells[now]), [now, zoom]);

  const onKeyDown = (event: KeyboardEvent) => {
    const last = cells.length - 1;
    const to = { ArrowLeft: reached - 1, ArrowRight: reached + 1, Home: 0, End: last }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const cell = cells[Math.max(0, Math.min(last, to))];
    moved.current = cell !== undefined && cell !== cells[reached];
    if (cell) setRoving(cell.from);
  };
  // Known before the scenes are, so that nothing moves when they come.
  const bare = width / Math.max(1, count) < PICTURE_PX;
  const widest = Math.max(1, (count * ROOMY_PX) / Math.max(1, view.width));

  return (
    <section class={bare ? "strip bare" : "strip"} aria-label="Scenes">
      <div class="strip-head">
        <h2>Scenes</h2>
        <Legend asked={asked} />
        <Zoom zoom={zoom} most={widest} set={setZoom} />
      </div>
      <div class="strip-box" ref={box}>
        <ul style={{ width: zoom === 1 ? "100%" : `${width}px` }} onKeyDown={onKeyDown}>
          {cells.map((cell, index) =>
            index === reached || near(cell, view) ? (
              <li
                class="place"
                key={cell.from}
                style={{ left: `${cell.left}px`, width: `${cell.width}px` }}
              >
                <CellButton
                  cell={cell}
                  asked={asked}
                  now={index === now}
                  reached={index === reached}
                  choose={() => {
                    setRoving(cell.from);
                    playback.seek(cell.best ? momentOf(cell.best) : cell.startMs);
                  }}
                />
              </li>
            ) : null,
          )}
        </ul>
        <Playhead playback={playback} scale={width / durationMs} />
      </div>
    </section>
  );
}

interface CellProperties {
  cell: Cell;
  asked: boolean;
  now: boolean;
  reached: boolean;
  choose: () => void;
}

function CellButton({ cell, asked, now, reached, choose }: CellProperties) {
  const { best } = cell;
  return (
    <button
      type="button"
      class="cell"
      aria-label={nameOf(cell, asked)}
      title={nameOf(cell, asked)}
      aria-current={now ? "true" : undefined}
      tabIndex={reached ? 0 : -1}
      onClick={choose}
    >
      <span class="pictures">
        {picturesOf(cell, PICTURE_PX, ROOM_PX).map((url) => (
          <span key={url}>
            <Picture url={url} alt="" loading="lazy" />
          </span>
        ))}
      </span>
      {asked && (
        <span class="relevance">
          {/* Another bar at another level, so that none moves when the answer comes. */}
          <span key={best?.level ?? 0} class={`bar level-${best?.level ?? 0}`}>
            {best && cell.width >= RANK_PX && <span class="rank">{best.rank}</span>}
          </span>
        </span>
      )}
    </button>
  );
}

function nameOf(cell: Cell, asked: boolean): string {
  const many = cell.to > cell.from;
  const scenes = many ? `Scenes ${cell.from + 1} to ${cell.to + 1}` : `Scene ${cell.from + 1}`;
  const times = `${clock(cell.startMs)} to ${clock(cell.endMs)}`;
  if (!asked) return `${scenes}, ${times}`;
  if (!cell.best) return `${scenes}, ${times}, no hit`;
  return `${scenes}, ${times}, ${many ? "best " : ""}rank ${cell.best.rank}`;
}

function Playhead({ playback, scale }: { playback: Playback; scale: number }) {
  return <div class="playhead" style={{ left: `${playback.timeMs.value * scale}px` }} />;
}

function Zoom({ zoom, most, set }: { zoom: number; most: number; set: (zoom: number) => void }) {
  if (most <= 1) return null;
  return (
    <div class="zoom">
      <button
        type="button"
        class="button small"
        disabled={zoom <= 1}
        onClick={() => set(Math.max(1, zoom / 2))}
      >
        <span aria-hidden="true">−</span>
        <span class="hidden-but-read">Show more scenes at once</span>
      </button>
      <button
        type="button"
        class="button small"
        disabled={zoom >= most}
        onClick={() => set(Math.min(most, zoom * 2))}
      >
        <span aria-hidden="true">+</span>
        <span class="hidden-but-read">Show scenes larger</span>
      </button>
    </div>
  );
}

/** Tell what part of the strip is seen. */
function useView(
  box: { current: HTMLDivElement | null },
  set: (view: { left: number; width: number }) => void,
): void {
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const look = () => set({ left: element.scrollLeft, width: element.clientWidth });
    const sizes = new ResizeObserver(look);
    sizes.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    look();
    return () => {
      sizes.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, []);
}

/** Whether a cell is seen or nearly so: cells far away are not drawn. */
function near(cell: Cell, view: { left: number; width: number }): boolean {
  return cell.left < view.left + 2 * view.width && cell.left + cell.width > view.left - view.width;
}

/** Scroll to the cell under the playhead, unless someone is busy with the strip. */
function keepInView(box: HTMLDivElement | null, cell: Cell | undefined): void {
  if (!box || !cell || box.matches(":hover, :focus-within")) return;
  const seen = cell.left >= box.scrollLeft && cell.left < box.scrollLeft + box.clientWidth;
  if (!seen) box.scrollLeft = cell.left - box.clientWidth / 2;
}
