/** The one video element that several parts of the player look at and move. */
import { type Signal, signal } from "@preact/signals";
import { useMemo } from "preact/hooks";

/** How far before the end a seek may go, so that something is still to be seen. */
const LAST_MS = 50;

export class Playback {
  readonly timeMs: Signal<number> = signal(0);
  readonly playing: Signal<boolean> = signal(false);
  /** False where this browser cannot show the file; times can still be gone to. */
  readonly playable: Signal<boolean> = signal(true);
  private element: HTMLVideoElement | null = null;
  /** Where to go, and whether to play there, once the file's times are known. */
  private wanted: { ms: number; play: boolean } | null = null;

  attach = (element: HTMLVideoElement | null): void => {
    this.element = element;
  };

  /** Go to a time; before the file is there, and where it cannot be played, the rest follows. */
  seek(ms: number, play = this.playing.value): void {
    const to = Math.max(0, ms);
    this.timeMs.value = to;
    if (this.element && this.element.readyState > 0) {
      this.element.currentTime = this.within(to);
      if (play) this.play();
    } else {
      this.wanted = { ms: to, play };
    }
  }

  by(ms: number): void {
    this.seek(this.timeMs.value + ms);
  }

  play(): void {
    // A browser may refuse to begin by itself; the button is there.
    this.element?.play().catch(() => {});
  }

  toggle(): void {
    if (this.playing.value) this.element?.pause();
    else this.play();
  }

  toggleMuted(): void {
    if (this.element) this.element.muted = !this.element.muted;
  }

  toggleFullscreen(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void this.element?.requestFullscreen().catch(() => {});
  }

  set rate(times: number) {
    if (!this.element) return;
    this.element.playbackRate = times;
    this.element.defaultPlaybackRate = times; // for when the file is loaded once more
  }

  /** The file has to be loaded once more: go on where it was. */
  keepPlace(): void {
    this.wanted ??= { ms: this.timeMs.value, play: this.playing.value };
  }

  /** What the element tells. */
  readonly events = {
    onLoadedMetadata: () => {
      if (this.wanted === null) return;
      const { ms, play } = this.wanted;
      this.wanted = null;
      this.seek(ms, play);
    },
    onTimeUpdate: (event: Event) => {
      const element = event.currentTarget as HTMLVideoElement;
      if (this.wanted === null && element.readyState > 0) {
        // Whole, or a time that was gone to may fall short of what begins there.
        this.timeMs.value = Math.round(element.currentTime * 1000);
      }
    },
    onPlay: () => {
      this.playing.value = true;
    },
    onPause: () => {
      this.playing.value = false;
    },
  };

  private within(ms: number): number {
    const end = this.element?.duration;
    const last = end && Number.isFinite(end) ? end * 1000 - LAST_MS : ms;
    return Math.max(0, Math.min(ms, last)) / 1000;
  }
}

export function usePlayback(): Playback {
  return useMemo(() => new Playback(), []);
}
