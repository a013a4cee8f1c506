/** Keys that move the player from anywhere in its view. */
import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export interface Shortcut {
  keys: readonly string[];
  /** As people read them. */
  shown: string;
  does: string;
  run: () => void;
}

const KEPT_AS = "scenebook.shortcuts";

/** Whether single keys do something: those who speak to their computer turn them off. */
export const shortcutsOn = signal(localStorage.getItem(KEPT_AS) !== "off");

export function turnShortcuts(on: boolean): void {
  shortcutsOn.value = on;
  localStorage.setItem(KEPT_AS, on ? "on" : "off");
}

const TYPING = "input, textarea, select, [contenteditable]";
const USES_SPACE = "button, a, summary, audio";

export function useShortcuts(shortcuts: readonly Shortcut[]): void {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (!shortcutsOn.value || event.defaultPrevented) return;
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const target = event.target instanceof Element ? event.target : document.body;
      if (target.closest(TYPING) || (event.key === " " && target.closest(USES_SPACE))) return;
      const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
      const shortcut = shortcuts.find(({ keys }) => keys.includes(key));
      if (!shortcut) return;
      event.preventDefault();
      shortcut.run();
    };
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, [shortcuts]);
}
