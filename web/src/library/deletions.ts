/** Deletions that can be undone for a while: the card goes at once, the request follows. */
import { signal } from "@preact/signals";
import { api, detailOf, Problem } from "../api/client";
import { toast } from "../shell/toasts";
import { linkId, type Shown } from "./shown";

const UNDO_MS = 8000;

interface Pending {
  video: Shown;
  timer: number;
  hideToast: () => void;
}

const pending = new Map<string, Pending>();

/** Videos that are not shown any more, though some of them may come back. */
export const hidden = signal<ReadonlySet<string>>(new Set());

export function remove(video: Shown): void {
  hide(video.id, true);
  const undo = () => bringBack(video.id);
  pending.set(video.id, {
    video,
    timer: window.setTimeout(() => send(video.id), UNDO_MS),
    hideToast: toast(`“${video.title}” is deleted.`, {
      action: { label: "Undo", run: undo },
      forMs: UNDO_MS,
    }),
  });
}

/** Take the last deletion back; false where there is none. */
export function undoLast(): boolean {
  const last = [...pending.keys()].at(-1);
  if (last !== undefined) bringBack(last);
  return last !== undefined;
}

function bringBack(id: string): void {
  const one = pending.get(id);
  if (!one) return;
  pending.delete(id);
  clearTimeout(one.timer);
  one.hideToast();
  hide(id, false);
  requestAnimationFrame(() => document.getElementById(linkId(id))?.focus());
}

async function send(id: string): Promise<void> {
  const one = pending.get(id);
  if (!one) return;
  pending.delete(id);
  clearTimeout(one.timer);
  one.hideToast();
  try {
    // With keepalive it arrives even if the page is closed meanwhile.
    const params = { path: { video_id: id } };
    await api.DELETE("/v1/videos/{video_id}", { params, keepalive: true });
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return;
    hide(id, false);
    toast(`“${one.video.title}” is not deleted. ${detailOf(error)}`, { tone: "bad" });
  }
}

function hide(id: string, is: boolean): void {
  const ids = new Set(hidden.value);
  if (is) ids.add(id);
  else ids.delete(id);
  hidden.value = ids;
}

function sendAll(): void {
  for (const id of [...pending.keys()]) void send(id);
}

// Whoever leaves cannot undo any more.
document.addEventListener("visibilitychange", () => document.hidden && sendAll());
window.addEventListener("pagehide", sendAll);
