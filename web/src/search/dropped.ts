/** Pictures that are dropped on the view, or pasted into it. */
import { useEffect, useState } from "preact/hooks";
import { pictureIn } from "../pictures";
import { toast } from "../shell/toasts";

const NO_PICTURE =
  "That is no picture that can be searched for: JPEG, PNG, WebP, GIF or BMP. Videos are added in " +
  "the library.";

/** Take pictures from anywhere; answers whether a file is being held over the view. */
export function useDropped(onPicture: (file: File) => void): boolean {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const ended = new AbortController();
    const listen = (name: string, act: (event: DragEvent) => void) =>
      addEventListener(name, act as EventListener, { signal: ended.signal });
    const carries = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    listen("dragover", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      setOver(true);
    });
    listen("dragleave", (event) => {
      if (event.relatedTarget === null) setOver(false);
    });
    listen("drop", (event) => {
      setOver(false);
      if (!carries(event)) return;
      event.preventDefault();
      const file = pictureIn(event.dataTransfer);
      if (file) onPicture(file);
      else toast(NO_PICTURE, { tone: "bad" });
    });
    addEventListener(
      "paste",
      (event) => {
        const file = pictureIn(event.clipboardData);
        if (!file) return;
        event.preventDefault();
        onPicture(file);
      },
      { signal: ended.signal },
    );
    return () => ended.abort();
  }, []);
  return isOver;
}
