/** Files on their way: three at once, the others in line; they survive outages and reloads. */
import { computed, signal } from "@preact/signals";
import { Upload as Tus } from "tus-js-client";
import { detailOf, Problem } from "../api/client";
import type { Video } from "../api/types";
import { announce } from "./announce";
import { detail } from "./shown";
import { nextTryMs, options, remembered, videoOf } from "./tus";

const AT_ONCE = 3;

export type UploadState =
  | "waiting" // in line
  | "sending"
  | "paused"
  | "broken" // it is tried again by itself
  | "done"
  | "failed";

export interface Upload {
  id: number;
  name: string;
  size: number;
  sent: number;
  state: UploadState;
  /** Why it is broken or failed. */
  detail: string;
  /** Once it is done. */
  video: Video | null;
  /** The owner had the same bytes before. */
  duplicate: boolean;
}

/** What an upload works with; the rest of the page sees only the record above. */
interface Work {
  file: File;
  tus: Tus;
  tries: number;
  timer: number;
}

export const uploads = signal<readonly Upload[]>([]);
export const sending = computed(
  () => uploads.value.filter((one) => one.state === "sending").length,
);

const works = new Map<number, Work>();
const listeners = new Set<(video: Video) => void>();
let last = 0;

/** Be told of every video that an upload has become; the answer ends it. */
export function onArrival(tell: (video: Video) => void): () => void {
  listeners.add(tell);
  return () => listeners.delete(tell);
}

/** Put files in line. */
export function addFiles(files: Iterable<File>): void {
  for (const file of files) {
    if (onItsWay(file)) continue;
    const id = ++last;
    const one = { id, name: file.name, size: file.size, sent: 0, state: "waiting" as const };
    uploads.value = [...uploads.value, { ...one, detail: "", video: null, duplicate: false }];
    works.set(id, { file, tus: prepared(id, file), tries: 0, timer: 0 });
  }
  next();
}

export function pause(id: number): void {
  stop(id, "paused");
}

/** Go on: at once where there is room, else in line. Also another try of what has failed. */
export function resume(id: number): void {
  const work = works.get(id);
  if (!work) return;
  clearTimeout(work.timer);
  change(id, { state: "waiting", detail: "" });
  next();
}

/** Give an upload up, here and at the service. */
export function cancel(id: number): void {
  const tus = works.get(id)?.tus;
  stop(id, "paused");
  // What cannot be removed there expires there.
  tus?.abort(true).catch(() => {});
  forget(id);
}

/** Take a finished or failed upload off the list. */
export function forget(id: number): void {
  works.delete(id);
  uploads.value = uploads.value.filter((one) => one.id !== id);
}

export function forgetFinished(): void {
  for (const one of uploads.value) if (one.state === "done") forget(one.id);
}

/** Two uploads of one file would take the place from each other. */
function onItsWay(file: File): boolean {
  return uploads.value.some((one) => {
    const same = works.get(one.id)?.file;
    if (!same || one.state === "done" || one.state === "failed") return false;
    return (["name", "size", "lastModified"] as const).every((key) => same[key] === file[key]);
  });
}

function stop(id: number, state: UploadState): void {
  const work = works.get(id);
  if (!work) return;
  clearTimeout(work.timer);
  change(id, { state });
  void work.tus.abort();
  next();
}

function change(id: number, to: Partial<Upload>): void {
  uploads.value = uploads.value.map((one) => (one.id === id ? { ...one, ...to } : one));
}

function stateOf(id: number): UploadState | undefined {
  return uploads.value.find((one) => one.id === id)?.state;
}

/** Start what is first in line, as long as there is room. */
function next(): void {
  for (const one of uploads.value) {
    if (sending.value >= AT_ONCE) return;
    if (one.state === "waiting") void start(one.id);
  }
}

async function start(id: number): Promise<void> {
  const work = works.get(id);
  if (!work) return;
  change(id, { state: "sending" });
  if (work.tus.url === null) {
    const before = await remembered(work.tus);
    if (before) work.tus.resumeFromPreviousUpload(before);
  }
  if (stateOf(id) === "sending") work.tus.start();
}

function prepared(id: number, file: File): Tus {
  return new Tus(file, {
    ...options(file.name, () => stateOf(id) === "sending"),
    onProgress: (sent) => {
      if (stateOf(id) === "sending") change(id, { sent });
    },
    onChunkComplete: () => {
      const work = works.get(id);
      if (work) work.tries = 0;
    },
    onSuccess: ({ lastResponse }) => void arrived(id, videoOf(lastResponse)),
    onError: (error) => broken(id, error),
  });
}

/** An upload did not go on: later again, where that can help. */
function broken(id: number, error: Error): void {
  const work = works.get(id);
  if (!work || stateOf(id) !== "sending") return;
  const { problem, afterMs } = nextTryMs(error, work.tries++);
  change(id, { state: afterMs === null ? "failed" : "broken", detail: detailOf(problem) });
  if (afterMs === null) announce(`${nameOf(id)} could not be uploaded. ${detailOf(problem)}`);
  else work.timer = window.setTimeout(() => resume(id), afterMs);
  next();
}

async function arrived(id: number, videoId: string | null): Promise<void> {
  try {
    if (!videoId) throw new Problem(500, "no_video", "The service did not say which video it is.");
    const video = await detail(videoId);
    // A video has the id of its upload, unless the owner had the same bytes before.
    const duplicate = !works.get(id)?.tus.url?.endsWith(videoId);
    change(id, { state: "done", video, duplicate });
    announce(duplicate ? `You had ${nameOf(id)} already.` : `${nameOf(id)} is uploaded.`);
    for (const tell of listeners) tell(video);
  } catch (error) {
    broken(id, error as Error);
  }
  next();
}

function nameOf(id: number): string {
  return uploads.value.find((one) => one.id === id)?.name ?? "";
}

window.addEventListener("online", () => {
  for (const one of uploads.value) if (one.state === "broken") resume(one.id);
});

// Whoever closes the tab by mistake is asked; what has arrived is kept in any case.
window.addEventListener("beforeunload", (event) => {
  if (uploads.value.some((one) => ["waiting", "sending", "broken"].includes(one.state)))
    event.preventDefault();
});
