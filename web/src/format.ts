/** Times, sizes and numbers as people read them. */

/** A place in a video: 4.2 s is `0:04.2` with tenths, else `0:04`. */
export function clock(ms: number, tenths = false): string {
  const unit = tenths ? 100 : 1000;
  const whole = Math.floor(ms / unit) * unit;
  const seconds = Math.floor(whole / 1000);
  const pad = (n: number) => String(n).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  const text = hours
    ? `${hours}:${pad(minutes)}:${pad(seconds % 60)}`
    : `${minutes}:${pad(seconds % 60)}`;
  return tenths ? `${text}.${Math.floor((whole % 1000) / 100)}` : text;
}

/** A length of time: `850 ms`, `4.2 s`, `3 min`, `2 h`, `5 d`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = ms / 1000;
  if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  return s < 172_800 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86_400)} d`;
}

/** A size in decimal units: `3.4 MB`. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let size = count;
  let unit = 0;
  for (; size >= 1000 && unit < units.length - 1; unit++) size /= 1000;
  return `${unit && size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** A count with its noun: `1 scene`, `12 scenes`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** A share as a percentage: `40 %`. */
export function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** A day and time as people read it; what is no date is shown as it is. */
export function day(given: string): string {
  const date = new Date(given);
  return Number.isNaN(date.getTime())
    ? given
    : date.toLocaleString("en", { dateStyle: "medium", timeStyle: "short" });
}
