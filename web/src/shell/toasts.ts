/** Short messages at the foot of the page; they are read out, and an action can undo. */
import { signal } from "@preact/signals";

export interface Toast {
  id: number;
  text: string;
  tone: "plain" | "bad";
  action?: { label: string; run: () => void };
}

const SHOWN_MS = 8000;
let last = 0;

export const toasts = signal<readonly Toast[]>([]);

/** Show a message; the answer takes it away before its time. */
export function toast(
  text: string,
  {
    tone = "plain",
    action,
    forMs = SHOWN_MS,
  }: Partial<Omit<Toast, "id" | "text">> & { forMs?: number } = {},
): () => void {
  const id = ++last;
  const remove = () => {
    toasts.value = toasts.value.filter((one) => one.id !== id);
  };
  toasts.value = [...toasts.value, { id, text, tone, action }];
  setTimeout(remove, forMs);
  return remove;
}
