/** Pictures that were dropped into the search, for as long as the tab is open. */
import { freshKey } from "./fresh";

const pictures = new Map<string, File>();
const previews = new Map<string, string>();

/** The kinds of pictures that the API reads. */
export const KINDS = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp"];

/** Keep a picture; the name stands for it in URLs of this tab. */
export function keep(file: File): string {
  const name = freshKey();
  pictures.set(name, file);
  previews.set(name, URL.createObjectURL(file));
  return name;
}

/** The picture of that name; undefined in another tab, or after a reload. */
export function picture(name: string): File | undefined {
  return pictures.get(name);
}

/** A URL that shows the picture in this tab. */
export function preview(name: string): string | undefined {
  return previews.get(name);
}

/** The first picture of what was dropped or pasted. */
export function pictureIn(data: DataTransfer | null): File | undefined {
  return [...(data?.files ?? [])].find((file) => KINDS.includes(file.type));
}
