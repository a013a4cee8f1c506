/** A picture of a fixed shape, so that nothing moves when it comes. */
import { Picture } from "./Picture";

interface Properties {
  /** A signed URL; null where there is no picture. */
  url: string | null | undefined;
  /** What it shows; empty where the text beside it says the same. */
  alt: string;
  /** Shown in its corner: a time or a length. */
  time?: string;
  /** Pictures far down are loaded when they come near. */
  eager?: boolean;
}

export function Thumbnail({ url, alt, time, eager = false }: Properties) {
  return (
    <div class="thumbnail">
      {url && <Picture url={url} alt={alt} loading={eager ? "eager" : "lazy"} />}
      {time && <span class="time">{time}</span>}
    </div>
  );
}
